"""What finds its content by itself: the directive `package`, and the first page."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Package(SphinxDirective):
    """The docstrings of all modules of a package, each a section: in alphabetical order, but those named after
    `:first:`, which come first."""

    required_arguments = 1
    option_spec: ClassVar = {"first": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        (folder,) = find_spec(package).submodule_search_locations
        names = sorted(file.stem for file in Path(folder).glob("[!_]*.py"))
        first = self.options.get("first", "").split()
        if unknown := set(first) - set(names):
            raise self.error(f"{package} has no {', '.join(sorted(unknown))}")
        lines = []
        for name in dict.fromkeys([*first, *names]):
            lines += [name, "-" * len(name), "", f".. automodule:: {package}.{name}", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def begin_with_readme(app: Sphinx, docname: str, source: list[str]) -> None:
    """The first page is README.md, whose links lead on from the root, and the list of pages below it."""
    if docname == app.config.root_doc and (readme := app.srcdir / "README.md").is_file():
        text = re.sub(r"\]\((?!https?:)", "](../", readme.read_text(encoding="utf-8"))
        source[0] = f"{text}\n{source[0]}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("package", Package)
    app.connect("source-read", begin_with_readme)
    return {"parallel_read_safe": True}
