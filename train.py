"""Trains a model on a data set: `uv run train.py --help`."""

from pmodel.commands.train import run

if __name__ == "__main__":
    run()
