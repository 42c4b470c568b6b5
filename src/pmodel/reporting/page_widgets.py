"""What the reader of a page can move, as the page has it: `pmodel.figures.widget`, with its tiles inside."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from pmodel.reporting.texts import label_text

# Of the files of the widgets of a page; the runs beyond have none there.
MOST_BYTES = 20_000_000
SCRIPT = (Path(__file__).parent / "templates" / "page.js").read_text(encoding="utf-8")


def page_widgets(results: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Those of the runs of a results document, by figure in the order of the captions, and the labels of runs whose
    would make the page too large; files lie below the folder."""
    of_runs, left_out, size = [], [], 0
    for run in results["runs"]:
        own = {
            name: _read(folder / place) | {"label": label_text(run)} for name, place in run.get("widgets", {}).items()
        }
        size += sum(len(widget["tiles"]["uri"]) for widget in own.values())
        if size > MOST_BYTES and own:
            left_out.append(run["label"])
        else:
            of_runs.append(own)
    names = dict.fromkeys([*results["captions"], *(name for own in of_runs for name in own)])
    return [own[name] for name in names for own in of_runs if name in own], left_out


def _read(file: Path) -> dict[str, Any]:
    """A widget, with the sheet of its tiles as a data URI."""
    widget = json.loads(file.read_text(encoding="utf-8"))
    tiles = (file.parent / widget["tiles"].pop("file")).read_bytes()
    widget["tiles"]["uri"] = f"data:image/png;base64,{base64.b64encode(tiles).decode()}"
    return widget


def script() -> tuple[str, str]:
    """The script of a page, and its hash as a Content-Security-Policy has it: no other one runs."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return SCRIPT, f"'sha256-{digest}'"
