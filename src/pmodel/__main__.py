"""The command `pmodel`, also `python -m pmodel`: `pmodel train model=vae`, `pmodel eval run=…`."""

import os
import re
import sys
from importlib import import_module

from pmodel.processes.ending import WRONG_INPUT, end

COMMANDS = {
    "train": "trains a model on a data set",
    "eval": "evaluates finished runs and lays them side by side",
    "sample": "draws from the model of a finished run into files",
    "encode": "asks the model of a finished run about each example of a data set",
    "runs": "lists the runs below logs/, newest first",
    "new": "writes a project of your own that builds on pmodel",
}
USAGE = "\n".join(
    [
        "pmodel COMMAND [SETTING=VALUE …]",
        "",
        *(f"  {name:6} {what}" for name, what in COMMANDS.items()),
        "",
        "pmodel COMMAND --help lists the settings of a command; pmodel --version prints the version.",
        'eval "$(pmodel -sc install=bash)" completes commands and settings in bash.',
    ]
)


def main() -> None:
    """Runs the command that the first word of the command line names, with the words behind it."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
    elif name == "--version":
        from pmodel import __version__

        print(__version__)
    elif name in ("-sc", "--shell-completion"):
        complete(words)
    elif name not in COMMANDS:
        end(WRONG_INPUT, f"error: {name}: expected a command, one of {', '.join(COMMANDS)}")
    else:
        run(name, words)


def run(name: str, words: list[str]) -> None:
    """Runs one of `COMMANDS` with the words of a command line."""
    sys.argv = ["pmodel", *words]
    import_module(f"pmodel.commands.{name}").run()


def complete(words: list[str]) -> None:
    """Hydra's completion, which knows no commands: the one in the line that is completed is taken out of it."""
    line = re.match(r"\s*\S+\s+(\S+)\s(.*)", os.environ.get("COMP_LINE", ""))
    if line and line[1] in COMMANDS and line[1] not in ("runs", "new"):
        os.environ["COMP_LINE"] = f"pmodel {line[2]}"
        run(line[1], ["-sc", *words])
    elif words and words[0].startswith("query="):
        print(*(() if line else COMMANDS))
    else:
        run("train", ["-sc", *words])


if __name__ == "__main__":
    main()
