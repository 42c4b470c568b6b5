"""Puts off what `import lightning` brings along and no training uses, until somebody asks for it.

- torchmetrics' functions, which import torchvision's models, scipy.signal and a compiler: of the package, Lightning
  uses `Metric` and `MetricCollection` alone
- torchmetrics' plots, which import Matplotlib
- torch._dynamo, the compiler behind torch.compile: Lightning asks whether a model is compiled, and the optimizers of
  PyTorch that they be left uncompiled

In their place stand modules that have what is asked for by everyone, and that become the real ones with the first other
name that is looked up in them, or the first submodule that is imported. It is half of the time of `import lightning`.
"""

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def defer_imports() -> None:
    """Puts the imports off, as far as they have not happened; to be called before Lightning is imported."""
    for name, parts in PARTS.items():
        if name not in sys.modules and not any(isinstance(f, _Deferral) and f.name == name for f in sys.meta_path):
            sys.meta_path.insert(0, _Deferral(name, parts))


class _Deferral(MetaPathFinder, Loader):
    """Finds and loads the module that stands for a real one, and that one when it is time.

    parts: gives the module what it has at once
    """

    def __init__(self, name: str, parts: Callable[[ModuleType], None]):
        self.name, self.parts = name, parts
        self.real: Loader | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self.name:
            if spec := PathFinder.find_spec(fullname, path):
                self.real, spec.loader = spec.loader, self
            return spec
        part = fullname.removeprefix(f"{self.name}.").partition(".")[0]
        is_below = self.real is not None and fullname.startswith(f"{self.name}.")
        if is_below and part not in SUBMODULES.get(self.name, ()):
            self.load()
            # Loading may have imported it; a second time would make another module of it. While it is found, Python
            # would take the spec of one that is there, and so load it once more.
            if fullname in sys.modules:
                return ModuleSpec(fullname, _Present(sys.modules.pop(fullname)))
        return None

    def exec_module(self, module: ModuleType) -> None:
        def missing(name: str) -> Any:
            # The machinery of imports, and of inspection, asks for these of any module.
            if name.startswith("__"):
                raise AttributeError(f"module {self.name!r} has no attribute {name!r}")
            self.load()
            return getattr(module, name)

        module.__getattr__ = missing
        self.parts(module)

    def load(self) -> None:
        """Makes the module what it stands for; all who have it see that."""
        if self not in sys.meta_path:
            return
        sys.meta_path.remove(self)
        module = sys.modules[self.name]
        del module.__getattr__
        module.__spec__.loader = module.__loader__ = self.real
        self.real.exec_module(module)


class _Present(Loader):
    """Gives a module that has been loaded."""

    def __init__(self, module: ModuleType):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _torchmetrics(module: ModuleType) -> None:
    module._logger = logging.getLogger("torchmetrics")
    importlib.import_module("torchmetrics.utilities")  # first: it and `metric` import one another
    module.Metric = importlib.import_module("torchmetrics.metric").Metric
    module.MetricCollection = importlib.import_module("torchmetrics.collections").MetricCollection
    module.__version__ = importlib.import_module("torchmetrics.__about__").__version__


def _plots(module: ModuleType) -> None:
    def plot_single_or_multi_val(*args: Any, **kwargs: Any) -> Any:
        _ = module.plot_curve  # makes this one the real one too
        return module.plot_single_or_multi_val(*args, **kwargs)

    module._AX_TYPE = module._PLOT_OUT_TYPE = object
    module.plot_single_or_multi_val = plot_single_or_multi_val


def _dynamo(module: ModuleType) -> None:
    class Compiled(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            """Nothing is compiled before the compiler is there."""
            real = module.OptimizedModule
            return real is not OptimizedModule and isinstance(instance, real)

    class OptimizedModule(metaclass=Compiled):
        """What torch.compile makes of a module, for those who ask whether a module is one."""

    def disable(function: Callable, recursive: bool = True, **settings: Any) -> Callable:
        """Nothing compiles the function yet."""
        return function

    def graph_break(*args: Any, **settings: Any) -> None:
        """There is no graph yet."""

    module.OptimizedModule, module.disable, module.graph_break = OptimizedModule, disable, graph_break


PARTS: dict[str, Callable[[ModuleType], None]] = {
    "torchmetrics": _torchmetrics,
    "torchmetrics.utilities.plot": _plots,
    "torch._dynamo": _dynamo,
}
# What of a package is imported for its parts.
SUBMODULES = {"torchmetrics": ("metric", "collections", "utilities", "__about__")}
