"""What an annotation accepts, as its source text says: types, lists of choices, and ranges."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from pmodel.settings.signatures import resolve

# The constraints of annotated-types that settings use: what they check, and how they are said.
_CONSTRAINTS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "Ge": (operator.ge, "at least"),
    "Gt": (operator.gt, "more than"),
    "Le": (operator.le, "at most"),
    "Lt": (operator.lt, "less than"),
    "MinLen": (lambda value, least: len(value) >= least, "of length at least"),
}
_IN_WORDS = {
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "str": "a text",
    "None": "null",
}
_LISTS = ("list", "List", "tuple", "Tuple", "Sequence", "Iterable")
# What a plain value is an instance of, by the name of its type.
_PLAIN = {
    "bool": bool,
    "int": int,
    "float": int | float,
    **dict.fromkeys(("str", "Path", "PathLike"), str),
    **dict.fromkeys(("dict", "Dict", "Mapping"), dict),
    **dict.fromkeys(_LISTS, list),
}


def accepts(annotation: ast.expr | None, value, module: str) -> bool:
    """Whether a plain value (None, bool, int, float, str, list, dict) fits an annotation.

    A class of which plain values are no instances (`Tensor`, `Strategy`) accepts only a dict, which a `_target_`
    turns into an instance. A name that can't be traced accepts everything.
    """
    return any(_fits(part, value, origin) for part, origin in _alternatives(annotation, module))


def _fits(part: ast.expr | None, value, module: str) -> bool:
    """Whether a value fits one part of a union."""
    match part:
        case ast.Constant(value=None):
            return value is None
        case ast.Name() | ast.Attribute():
            return _fits_name(_name(part), value, module)
        case ast.Subscript(value=outer, slice=ast.Tuple(elts=inners)):
            return _fits_generic(_name(outer), inners, value, module)
        case ast.Subscript(value=outer, slice=inner):
            return _fits_generic(_name(outer), [inner], value, module)
    return True


def _fits_generic(outer: str, inners: list[ast.expr], value, module: str) -> bool:
    match outer:
        case "Literal":
            return any(c == value and type(c) is type(value) for c in map(ast.literal_eval, inners))
        case "Annotated":
            return accepts(inners[0], value, module) and all(
                check(value, bound) for (check, _), bound in map(_constraint, inners[1:])
            )
        case "tuple" | "Tuple" if isinstance(value, list) and ast.unparse(inners[-1]) != "...":
            return len(value) == len(inners) and all(
                accepts(inner, item, module) for inner, item in zip(inners, value, strict=True)
            )
    if outer not in _PLAIN:
        return _fits_name(outer, value, module)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    inner = inners[0 if outer in _LISTS else -1]
    return _fits_name(outer, value, module) and all(accepts(inner, item, module) for item in items)


def _fits_name(name: str, value, module: str) -> bool:
    if name in ("Any", "object"):
        return True
    if name in _PLAIN:
        fits = isinstance(value, _PLAIN[name]) and isinstance(value, bool) == (name == "bool")
        return fits and (name != "float" or math.isfinite(value))
    return isinstance(value, dict) or not isinstance((resolve(module, name) or [None])[0], ast.ClassDef)


def _name(node: ast.expr) -> str:
    """`Optional` of `typing.Optional`."""
    return ast.unparse(node).split(".")[-1]


def _constraint(node: ast.expr) -> tuple[tuple[Callable[[Any, Any], bool], str], Any]:
    """`Ge(1)`: how it is checked and said, and its bound."""
    return _CONSTRAINTS[node.func.id], ast.literal_eval(node.args[0])


def in_words(annotation: ast.expr | None, module: str) -> str:
    """What an annotation expects, for a message: `a whole number, at least 1, or null`."""
    listed, others = [], []
    for part, origin in _alternatives(annotation, module):
        found = _listed(part)
        listed += found
        others += [] if found else [_one_in_words(part, origin)]
    others = list(dict.fromkeys(filter(None, others)))
    if listed:
        texts = ", ".join(map(str, dict.fromkeys(listed)))
        others.insert(0, f"one of {texts}" if len(set(listed)) > 1 else texts)
    if len(others) < 2:
        return "".join(others) or "settings of its own"
    comma = "," if any("," in words or " or " in words for words in others) else ""
    return f"{', '.join(others[:-1])}{comma} or {others[-1]}"


def _one_in_words(part: ast.expr, module: str) -> str | None:
    """What one part of a union expects; None for what nobody types: a dict, or a class, which a `_target_` builds."""
    match part:
        case ast.Subscript(
            value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, ast.Call(func=ast.Name(id="MinLen"))])
        ):
            words = in_words(inner, module)
            return (
                words.replace("a list of", "a list of one or more", 1)
                if "list" in words
                else f"{words} that is not empty"
            )
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, *constraints])):
            bounds = [f"{said} {bound}" for (_, said), bound in map(_constraint, constraints)]
            return f"{in_words(inner, module)}, {' and '.join(bounds)}"
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=inner):
            return f"a list of {_plural(in_words(inner, module))}"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=parts)):
            each = dict.fromkeys(in_words(inner, module) for inner in parts)
            return f"a list of {len(parts)} {_plural(' or '.join(each))}"
        case ast.Constant(value=None):
            return "null"
        case ast.Subscript(value=ast.Name(id="dict" | "Dict")):
            return None
        case ast.Name(id=name):
            return _IN_WORDS.get(name)
    return ast.unparse(part)


def _plural(words: str) -> str:
    """`whole numbers, each at least 1` of `a whole number, at least 1`."""
    if ", or " in words:
        return " or ".join(map(_plural, words.split(", or ")))
    kind, _, bounds = words.removeprefix("a ").partition(", ")
    kinds = kind.replace("list", "lists", 1) if kind.startswith("list") else f"{kind}s"
    return f"{kinds}, each {bounds}" if bounds else kinds


def _alternatives(annotation: ast.expr | None, module: str) -> list[tuple[ast.expr | None, str]]:
    """The parts of a union, behind names such as `Count` too, each with the module of its own names."""
    parts = None
    match annotation:
        case ast.Constant(value=str(text)):  # a quoted annotation
            parts = [ast.parse(text, mode="eval").body]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            parts = [left, right]
        case ast.Subscript(value=outer, slice=ast.Tuple(elts=inners)) if _name(outer) == "Union":
            parts = inners
        case ast.Subscript(value=outer, slice=inner) if _name(outer) == "Optional":
            parts = [inner, ast.Constant(None)]
        case ast.Name(id=name) if name not in _IN_WORDS:
            match resolve(module, name):
                case (ast.Assign(value=alias) | ast.AnnAssign(value=ast.expr() as alias), module):
                    parts = [alias]
    if parts is None:
        return [(annotation, module)]
    return [found for part in parts for found in _alternatives(part, module)]


def choices(annotation: ast.expr | None, module: str) -> list[str | int]:
    """What an annotation lists under `Literal`, also behind names such as `LikelihoodName`."""
    return [choice for part, _ in _alternatives(annotation, module) for choice in _listed(part)]


def _listed(part: ast.expr | None) -> list[str | int]:
    match part:
        case ast.Subscript(value=outer, slice=inner) if _name(outer) == "Literal":
            listed = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return [c.value for c in listed if isinstance(c, ast.Constant) and c.value is not None]
    return []
