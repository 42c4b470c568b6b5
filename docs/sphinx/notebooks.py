"""Notebooks as pages, with the outputs that they hold; nothing is run."""

import json
from html import escape
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx


class NotebookParser(MystParser):
    """Reads a .ipynb as the Markdown of its cells, with code and outputs between them."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        cells = json.loads(inputstring)["cells"]
        super().parse("\n\n".join(part for cell in cells for part in markdown(cell)), document)


def markdown(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return [source]
    shown = "".join(map(output, cell["outputs"]))
    code = f"```python\n{source}\n```"
    return [code, f'<div class="output">\n{shown}</div>'] if shown else [code]


def output(entry: dict[str, Any]) -> str:
    """As HTML without an empty line, which would end it in Markdown."""
    data = entry.get("data", {"text/plain": entry.get("text", "")})
    kind = next(kind for kind in ("image/png", "text/html", "text/plain") if kind in data)
    text = "".join(data[kind]).strip()
    if kind == "image/png":
        alt = escape("".join(data.get("text/plain", "")))
        return f'<img src="data:image/png;base64,{text}" alt="{alt}">\n'
    text = text if kind == "text/html" else f"<pre>{escape(text)}</pre>"
    return text.replace("\n\n", "\n&#10;") + "\n"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}
