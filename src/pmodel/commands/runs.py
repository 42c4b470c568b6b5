"""`pmodel runs`: all runs below logs/ as a table."""

import shutil
import sys
from pathlib import Path
from typing import Any

from pmodel.files.printable import shown
from pmodel.processes.ending import WRONG_INPUT, end
from pmodel.reporting.decimals import format_value
from pmodel.reporting.summary import table
from pmodel.reporting.texts import flat
from pmodel.runs.listing import ListedRun, listed_runs
from pmodel.runs.typed import project_log_dir

USAGE = """pmodel runs [WORD …] [log_dir=FOLDER]

Lists all runs below logs/, or below another folder, newest first, those of multiruns too: the directory, as run=… takes
it, model, data, status, the best value of what the model's best.ckpt follows, when training began, and what was typed.

With words, those runs alone that have all of them, in any case:

  pmodel runs vae failed      words, or parts of them, anywhere in a run's row
  pmodel runs data=mnist      the option of model or data, the status, or any setting, typed or not
  pmodel runs lr=1e-3         a setting by the end of its name"""
HEAD = ["run", "model", "data", "status", "best", "when", "typed"]
# Characters of the last column on a narrow terminal, and of a name that a file gives.
NARROWEST, LONGEST = 20, 40


def run() -> None:
    """Prints the table that the words of the command line ask for."""
    words = sys.argv[1:]
    if "-h" in words or "--help" in words:
        print(USAGE)
        return
    for word in words:
        if word.startswith("-"):
            end(WRONG_INPUT, f"error: {word}: pmodel runs has no such option; pmodel runs --help lists what it takes")
    folders = [word.partition("=")[2] for word in words if word.startswith("log_dir=")]
    log_dir = Path(folders[-1] if folders else project_log_dir()).expanduser()
    if folders and not log_dir.is_dir():
        end(WRONG_INPUT, f"error: log_dir={log_dir}: there is no such folder")
    wanted = [word for word in words if not word.startswith("log_dir=")]
    runs = listed_runs(log_dir)
    chosen = [run for run in runs if all(_has(run, word) for word in wanted)]
    if chosen:
        print(runs_table(chosen, shutil.get_terminal_size((0, 0)).columns))
    elif runs:
        print(f"none of the {len(runs)} runs below {shown(log_dir)}/ matches: {' '.join(wanted)}")
    else:
        print(f"there are no runs below {shown(log_dir)}/")


def runs_table(runs: list[ListedRun], columns: int) -> str:
    """A line for each run.

    columns: of the terminal, to whose width what was typed is shortened; 0: as wide as need be
    """
    rows = [[*_cells(run), _typed(run)] for run in runs]
    others = table([HEAD[:-1], *(row[:-1] for row in rows)], right=set())
    room = max(NARROWEST, columns - max(map(len, others.splitlines())) - 2)
    for row in rows if columns else []:
        row[-1] = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
    return table([HEAD, *rows], right=set())


def _cells(run: ListedRun) -> list[str]:
    """The run's row, but for what was typed."""
    best = "" if run.best is None else f"{run.monitor.replace('/', ' ').replace('_', ' ')} {format_value(run.best)}"
    names = [name[:LONGEST] for name in (*_model_and_data(run), run.status, best.strip())]
    return [shown(run.folder), *names, f"{run.began:%Y-%m-%d %H:%M}"]


def _model_and_data(run: ListedRun) -> tuple[str, str]:
    """The options of the groups model and data, or where nobody says which they were, the classes."""
    typed = _last_typed(run)
    name = str(run.settings.get("name", ""))
    of_name = name.split("-") if "name" not in typed and name.count("-") == 1 else ["", ""]
    model, data = (
        typed.get(part) or option or str(run.settings.get(part, {}).get("_target_", "")).rpartition(".")[2]
        for part, option in zip(("model", "data"), of_name, strict=True)
    )
    return model, data


def _last_typed(run: ListedRun) -> dict[str, str]:
    """What was typed, by key."""
    return {key.lstrip("+~"): value for key, _, value in (line.partition("=") for line in run.typed)}


def _typed(run: ListedRun) -> str:
    """Why the run ended, where it says so, and what was typed, but for what other columns have."""
    shown_already = [f"{part}={option}" for part, option in zip(("model", "data"), _model_and_data(run), strict=True)]
    line = " ".join(line for line in run.typed if line not in shown_already)
    return "; ".join(filter(None, (run.reason, line)))


def _has(run: ListedRun, word: str) -> bool:
    """Whether a run has a word in its row, or the value of a setting."""
    if "=" not in word:
        row = [*_cells(run), run.reason, *run.typed]
        return word.lower() in " ".join(row).lower()
    key, _, value = word.partition("=")
    model, data = _model_and_data(run)
    settings = flat(run.settings) | {"model": model, "data": data, "status": run.status} | _last_typed(run)
    return any(
        (name == key or name.endswith(f".{key}")) and _compared(found) == _compared(value)
        for name, found in settings.items()
    )


def _compared(value: Any) -> Any:
    """A value, or a text, so that 1e-3 is 0.001 and [1, 8] is [1,8]."""
    text = str(value).replace("'", "").replace('"', "").replace(" ", "").lower()
    try:
        return float(text)
    except ValueError:
        return text
