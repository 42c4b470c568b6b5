"""Reads what a class or function accepts from its source text alone, so that a config is checked without imports.

`import lightning` takes many seconds; parsing the few source files that a config names takes a fraction of one.
"""

import ast
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

# `**common` in a constructor stands for the arguments of its base class.
SHARED = "common"


@dataclass(frozen=True)
class Parameter:
    """One argument: its annotation (None where there is none), the module of its names, whether it has no default."""

    annotation: ast.expr | None
    module: str
    required: bool = False


@dataclass(frozen=True)
class Signature:
    """The named arguments of a callable; `accepts_any` where `**kwargs` takes further ones."""

    parameters: dict[str, Parameter]
    accepts_any: bool = False


class TargetError(LookupError):
    """A dotted name that leads nowhere; `name` is what was sought and `candidates` what there is instead."""

    def __init__(self, message: str, name: str, candidates: list[str]):
        super().__init__(message)
        self.name, self.candidates = name, candidates


@functools.cache
def module_file(name: str) -> Path | None:
    """The source file of a module, found without importing any of its parents; None if there is none."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a script, or a notebook, is a module without one
        spec = None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or []:
        base = Path(folder, *rest)
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file
    return None


@functools.cache
def definitions(module: str) -> dict[str, ast.AST]:
    """Top-level names of a module and the statements that define them, those under `if` and `try` included."""
    file = module_file(module)
    names: dict[str, ast.AST] = {}
    pending = list(ast.parse(file.read_text(encoding="utf-8")).body) if file else []
    while pending:
        node = pending.pop(0)
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                names[node.name] = node
            case ast.ImportFrom():
                names.update({alias.asname or alias.name: node for alias in node.names})
            case ast.Assign():
                names.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
            case ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = node
            case ast.If() | ast.Try():
                pending = [*node.body, *node.orelse, *getattr(node, "finalbody", []), *pending]
    return names


def _imported_from(node: ast.ImportFrom, module: str) -> str:
    """The absolute name of the module that `from … import` in `module` refers to."""
    if not node.level:
        return node.module or ""
    is_package = getattr(module_file(module), "name", None) == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def resolve(module: str, name: str) -> tuple[ast.AST, str] | None:
    """The class, function or assigned value behind a name, through re-exports; with the module it stands in."""
    for _ in range(20):  # re-exports are never this deep; a cycle would be
        node = definitions(module).get(name)
        match node:
            case ast.ImportFrom():
                name = next(alias.name for alias in node.names if (alias.asname or alias.name) == name)
                module = _imported_from(node, module)
            case ast.Assign(value=ast.Name(id=other)):
                name = other
            case None:
                return None
            case _:
                return node, module
    return None


@functools.cache
def signature(target: str) -> Signature:
    """What `target`, a dotted name such as `torch.optim.Adam`, accepts.

    Raises:
        TargetError: if there is no such module, or no such name in it.
    """
    parts = target.split(".")
    module = next((m for n in range(len(parts) - 1, 0, -1) if module_file(m := ".".join(parts[:n]))), None)
    if module is None:
        raise TargetError(f"there is no package {parts[0]!r}", parts[0], [])
    rest = parts[len(module.split(".")) :]
    found = resolve(module, rest[0]) if len(rest) == 1 else None
    if found is None:
        folder = module_file(module).parent
        inside = [p.stem for p in folder.glob("*.py")] if module_file(module).name == "__init__.py" else []
        raise TargetError(f"there is no {rest[0]!r} in {module}", rest[0], sorted({*definitions(module), *inside}))
    return _signature_of(*found)


def _signature_of(node: ast.AST, module: str) -> Signature:
    match node:
        case ast.FunctionDef():
            return _arguments(node.args, module, skip=0)
        case ast.ClassDef():
            init = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
            if init is not None:
                own = _arguments(init.args, module, skip=1)
                if init.args.kwarg is None or init.args.kwarg.arg != SHARED:
                    return own
                base = _signature_of_base(node, module)
                return Signature({**base.parameters, **own.parameters}, base.accepts_any)
            fields = typed_fields(node, module)
            return _signature_of_base(node, module) if fields is None else Signature(fields)
    return Signature({}, accepts_any=True)


def _signature_of_base(node: ast.ClassDef, module: str) -> Signature:
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        found = resolve(module, name.id) if isinstance(name, ast.Name) else None
        if found is not None:
            return _signature_of(*found)
    return Signature({}, accepts_any=bool(node.bases))


def _arguments(args: ast.arguments, module: str, skip: int) -> Signature:
    positional = [*args.posonlyargs, *args.args]
    without_default = {a.arg for a in positional[: len(positional) - len(args.defaults)]}
    without_default |= {a.arg for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None}
    named = {
        a.arg: Parameter(a.annotation, module, a.arg in without_default) for a in [*positional[skip:], *args.kwonlyargs]
    }
    return Signature(named, accepts_any=args.kwarg is not None)


def typed_fields(node: ast.ClassDef, module: str) -> dict[str, Parameter] | None:
    """The fields of a TypedDict or dataclass; None if the class is neither."""
    is_typed_dict = any(isinstance(base, ast.Name) and base.id == "TypedDict" for base in node.bases)
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    if not (is_typed_dict or is_dataclass):
        return None
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
    found = {}
    for field in fields:
        annotation, required = field.annotation, field.value is None
        match annotation:
            case ast.Subscript(value=ast.Name(id="NotRequired"), slice=annotation):
                required = False
        found[field.target.id] = Parameter(annotation, module, required)
    return found
