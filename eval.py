"""Evaluates finished runs and lays them side by side: `uv run eval.py --help`."""

from pmodel.commands.eval import run

if __name__ == "__main__":
    run()
