"""What the reader of a page can move, as the page has it: `pmodel.figures.widget`, with its tiles inside."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from pmodel.reporting.texts import label_text

SCRIPT = (Path(__file__).parent / "templates" / "page.js").read_text(encoding="utf-8")


def page_widgets(results: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Those of all runs of a results document, by figure in the order of the captions; files lie below the folder."""
    names = dict.fromkeys([*results["captions"], *(name for run in results["runs"] for name in run.get("widgets", {}))])
    found = []
    for name in names:
        for run in results["runs"]:
            if name in run.get("widgets", {}):
                file = folder / run["widgets"][name]
                widget = json.loads(file.read_text(encoding="utf-8"))
                tiles = (file.parent / widget["tiles"].pop("file")).read_bytes()
                widget["tiles"]["uri"] = f"data:image/png;base64,{base64.b64encode(tiles).decode()}"
                found.append(widget | {"label": label_text(run)})
    return found


def script() -> tuple[str, str]:
    """The script of a page, and its hash as a Content-Security-Policy has it: no other one runs."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return SCRIPT, f"'sha256-{digest}'"
