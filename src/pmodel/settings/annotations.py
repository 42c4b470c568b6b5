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


def accepts(annotation: ast.expr | None, value, module: str) -> bool:
    """Whether a plain value (None, bool, int, float, str, list, dict) fits an annotation.

    A class of which plain values are no instances (`Tensor`, `Strategy`) accepts only a dict, which a `_target_`
    turns into an instance. A name that can't be traced accepts everything.
    """
    match annotation:
        case None:
            return True
        case ast.Constant(value=None):
            return value is None
        case ast.Constant(value=str(text)):  # a quoted annotation
            return accepts(ast.parse(text, mode="eval").body, value, module)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return accepts(left, value, module) or accepts(right, value, module)
        case ast.Attribute(attr=name):
            return _accepts_name(name, value, module)
        case ast.Name(id=name):
            return _accepts_name(name, value, module)
        case ast.Subscript(value=outer, slice=inner):
            return _accepts_generic(ast.unparse(outer).split(".")[-1], inner, value, module)
    return True


def _accepts_generic(outer: str, inner: ast.expr, value, module: str) -> bool:
    inners = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match outer:
        case "Optional":
            return value is None or accepts(inner, value, module)
        case "Union":
            return any(accepts(part, value, module) for part in inners)
        case "Literal":
            return any(
                ast.literal_eval(part) == value and type(ast.literal_eval(part)) is type(value) for part in inners
            )
        case "list" | "List" | "Sequence" | "Iterable" | "set" | "Collection":
            return isinstance(value, list) and all(accepts(inner, item, module) for item in value)
        case "tuple" | "Tuple":
            parts = [inners[0]] * len(value) if isinstance(value, list) and ast.unparse(inners[-1]) == "..." else inners
            return (
                isinstance(value, list)
                and len(value) == len(parts)
                and all(accepts(part, item, module) for part, item in zip(parts, value, strict=True))
            )
        case "dict" | "Dict" | "Mapping":
            return isinstance(value, dict) and all(accepts(inners[-1], item, module) for item in value.values())
        case "Annotated":
            return accepts(inners[0], value, module) and all(
                check(value, bound) for (check, _), bound in map(_constraint, inners[1:])
            )
    return _accepts_name(outer, value, module)


def _accepts_name(name: str, value, module: str) -> bool:
    match name:
        case "Any" | "object":
            return True
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "str" | "Path" | "PathLike":
            return isinstance(value, str)
        case "list" | "List" | "tuple" | "Sequence" | "Iterable":
            return isinstance(value, list)
        case "dict" | "Dict" | "Mapping":
            return isinstance(value, dict)
    match resolve(module, name):
        case (ast.Assign(value=alias) | ast.AnnAssign(value=ast.expr() as alias), origin):
            return accepts(alias, value, origin)
        case (ast.ClassDef(), _):
            return isinstance(value, dict)
    return True


def _constraint(node: ast.expr) -> tuple[tuple[Callable[[Any, Any], bool], str], Any]:
    """`Ge(1)`: how it is checked and said, and its bound."""
    return _CONSTRAINTS[node.func.id], ast.literal_eval(node.args[0])


def in_words(annotation: ast.expr | None, module: str) -> str:
    """What an annotation expects, for a message: `a whole number, at least 1, or null`."""
    listed, others = [], []
    for part, origin in _alternatives(annotation, module):
        match part:
            case ast.Subscript(value=ast.Name(id="Literal")):
                listed += choices(part, origin)
            case _:
                others.append(_one_in_words(part, origin))
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
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[ast.Subscript() as inner, _])):
            return in_words(inner, module).replace("a list of", "a list of one or more", 1)
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inner, *constraints])):
            bounds = [f"{said} {bound}" for (_, said), bound in map(_constraint, constraints)]
            return f"{in_words(inner, module)}, {' and '.join(bounds)}"
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=inner):
            return f"a list of {_plural(in_words(inner, module))}"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=parts)):
            each = list(dict.fromkeys(in_words(inner, module) for inner in parts))
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


def _alternatives(annotation: ast.expr, module: str) -> list[tuple[ast.expr, str]]:
    """The parts of a union, behind names such as `Count` too, each with the module of its own names."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return [*_alternatives(left, module), *_alternatives(right, module)]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=parts)):
            return [other for part in parts for other in _alternatives(part, module)]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return [*_alternatives(inner, module), (ast.Constant(None), module)]
        case ast.Name(id=name) if name not in _IN_WORDS:
            match resolve(module, name):
                case (ast.Assign(value=alias) | ast.AnnAssign(value=ast.expr() as alias), origin):
                    return _alternatives(alias, origin)
    return [(annotation, module)]


def choices(annotation: ast.expr | None, module: str) -> list[str | int]:
    """What an annotation lists under `Literal`, also behind names such as `LikelihoodName`."""
    match annotation:
        case ast.Subscript(value=outer, slice=inner) if ast.unparse(outer).split(".")[-1] == "Literal":
            listed = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return [c.value for c in listed if isinstance(c, ast.Constant) and c.value is not None]
        case ast.Name(id=name):
            match resolve(module, name):
                case (ast.Assign(value=alias) | ast.AnnAssign(value=ast.expr() as alias), origin):
                    return choices(alias, origin)
            return []
        case None:
            return []
    return [c for part in ast.iter_child_nodes(annotation) if isinstance(part, ast.expr) for c in choices(part, module)]
