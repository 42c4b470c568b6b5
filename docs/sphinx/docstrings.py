"""Docstrings and signatures as they are written: `code` between single backticks, types by their names."""

import ast
import inspect
import re
import textwrap
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(`[^`]+`)")
# What reStructuredText takes for markup.
MARKUP = re.compile(r"(\*|\||(?<=\w)_(?!\w)|(?<=: )[A-Z]\.(?= |$))", re.MULTILINE)
# A line that begins an entry of a list: `name: what it is`.
ENTRY = re.compile(r"( *)([a-z_][\w.]*(?:, [a-z_][\w.]*)*):( .*|)$")
SECTION = re.compile(r"(Args|Returns|Raises|Yields):$")


def as_rst(text: str) -> str:
    """A docstring with its code as literals, its lists as lists, and without any other markup."""
    parts = CODE.split(listed(text))
    parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"`{part}`" for part in parts[1::2]]
    return "".join(parts)


def listed(text: str) -> str:
    """Entries `name: what it is`, with lines below that are indented, as items of a list; sections are napoleon's."""
    lines: list[str] = []
    section, entry = False, None  # whether it is in one; how far the entry before is indented
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        section = SECTION.match(line) is not None or (section and (not line or indent > 0))
        begins = not lines or not lines[-1].strip() or entry is not None
        if not section and begins and (found := ENTRY.match(line)):
            lines += [""] * (entry is None or indent > entry)
            names = ", ".join(f"`{name}`" for name in found[2].split(", "))
            line, entry = f"{found[1]}- {names}:{found[3]}", indent
        elif entry is not None and line.strip() and indent > entry:
            line = f"{' ' * (entry + 2)}{line.strip()}"
        else:
            entry = None
        lines.append(line)
    return "\n".join(lines)


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst("\n".join(lines)).split("\n")


def as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """The signature in the words of the source, where `Count` stands for a whole number of at least 1."""
    function = obj.__dict__.get("__init__") if inspect.isclass(obj) else inspect.unwrap(obj)
    if signature is not None and inspect.isclass(obj) and (function is None or getattr(obj, "_is_protocol", False)):
        return (signature, returns) if issubclass(obj, tuple) else ("", None)  # the base class's
    if signature is None or not inspect.isfunction(function):
        return signature, returns
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except OSError:  # made by a decorator, such as that of data classes
        return signature, returns
    if not isinstance(node, ast.FunctionDef):
        return signature, returns
    if what in ("class", "exception", "method"):
        node.args.args = node.args.args[1:]
    returned = ast.unparse(node.returns) if node.returns and not inspect.isclass(obj) else None
    return f"({ast.unparse(node.args)})", returned


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon finds sections
    app.connect("autodoc-process-signature", as_written)
    return {"parallel_read_safe": True}
