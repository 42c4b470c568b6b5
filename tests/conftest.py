"""Fixtures that the tests share: the MNIST files, a browser, and running train.py in this process."""

import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import bytecode  # first, for it to be of use to the others
import environment  # noqa: F401  (before what reads it when it is imported)
import parsed_once  # noqa: F401
import pytest
import torch
from forked import start_forked
from hydra.core.hydra_config import HydraConfig
from support import ROOT, on_digits

from pmodel.commands.quiet import NOISE
from pmodel.config.resolvers import register_resolvers
from pmodel.features import dataset_network as features
from pmodel.features.tensor_files import sha256
from pmodel.files.project import TYPED
from pmodel.processes.launch import Processes
from pmodel.processes.signals import STOP_SIGNALS

# Tests are about numbers, not speed, and more threads only make small networks slower: one, for processes that tests
# start too. Whoever sets another number gets it: sums are then rounded otherwise, and tests must hold all the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    register_resolvers()
    for message in NOISE:
        config.addinivalue_line("filterwarnings", f"ignore:{message}")


@pytest.hookimpl(optionalhook=True)  # where there is no pytest-xdist, one process runs all
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for the whole suite, on two cores or more; chosen tests run in this one, which starts sooner."""
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if whole and cores > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of whole trainings first: what is left for the end is short, and keeps both processes busy."""
    items.sort(key=lambda item: len(item.path.parts))


@pytest.fixture(autouse=True)
def no_config_of_hydra() -> None:
    """What another test has composed is gone: a multirun's last config would make of any run a job of it."""
    HydraConfig.instance().cfg = None


@pytest.fixture(autouse=True)
def trust_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which classes another test has typed is forgotten."""
    monkeypatch.setenv(TYPED, os.environ.get(TYPED, ""))


def pytest_unconfigure() -> None:
    bytecode.remove()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that holds MNIST/raw; skips where there is none."""
    candidates = [os.environ.get("PMODEL_DATA_DIR"), ROOT.parent / "shared" / "data", ROOT / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "MNIST" / "raw").is_dir():
            return Path(candidate)
    pytest.skip("no MNIST/raw in $PMODEL_DATA_DIR, ../shared/data or data")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]
Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path) -> Command:
    """Runs `pmodel NAME` with words, on a CPU, in this process and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, "_start", start_forked)

    def run(name: str, *words: str) -> Outcome:
        monkeypatch.delitem(sys.modules, "pmodel.__main__", raising=False)  # which may have been imported
        monkeypatch.setattr(sys, "argv", ["pmodel", name, *words, "trainer.accelerator=cpu"])
        capfd.readouterr()
        handlers, code = {number: signal.getsignal(number) for number in STOP_SIGNALS}, 0
        try:
            runpy.run_module("pmodel", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path) -> Run:
    """Runs `train.py` with arguments, in this process and in an empty working directory; on the digits, where they name
    no data."""
    monkeypatch.chdir(tmp_path)
    run = script("train.py", monkeypatch, capfd)
    return lambda *words: run(*on_digits(words))


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, tmp_path: Path) -> Run:
    """Runs `eval.py` likewise."""
    monkeypatch.chdir(tmp_path)
    return script("eval.py", monkeypatch, capfd)


def train_in(folder: Path, *trainings: list[str]) -> None:
    """Trains in a folder, for what all tests of a file look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        silent = SimpleNamespace(readouterr=lambda: ("", ""))
        for words in trainings:
            assert script("train.py", patch, silent)(*on_digits(words)).code == 0


_trained: dict[str, dict[str, torch.Tensor]] = {}


def _train_once(classifier: torch.nn.Module, x: torch.Tensor, label: torch.Tensor, *others: Any) -> None:
    """In place of `features._train`, which gives the same network for the same examples, and takes seconds."""
    key = sha256(torch.tensor(features.NUM_STEPS), *classifier.state_dict().values(), x, label)
    if key in _trained:
        classifier.load_state_dict(_trained[key])
    else:
        _train(classifier, x, label, *others)
        _trained[key] = {name: value.clone() for name, value in classifier.state_dict().items()}


_train = features._train


def script(name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Run:
    monkeypatch.setattr(features, "_train", _train_once)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", [str(ROOT / name), *arguments])
        capfd.readouterr()
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        try:
            runpy.run_path(str(ROOT / name), run_name="__main__")
            code = 0
        except SystemExit as end:
            # As the interpreter does: a message goes to stderr, and means 1.
            code = 1 if isinstance(end.code, str) else int(end.code or 0)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        finally:
            # A command that was stopped ignores signals until its process, which is this one here, has ended.
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Outcome(code, *capfd.readouterr())

    return run


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
