"""What `import lightning` brings along and no training uses is put off until asked for, and is then the real one."""

import subprocess
import sys

import pytest
from support import ROOT

HEAVY = ("torchvision", "scipy", "matplotlib", "sympy", "torch._inductor", "torchmetrics.functional")
START = "from pmodel.commands.deferred import defer_imports; defer_imports(); import sys, lightning, torch;"


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What is asked for first: whatever it is, all has to be the real thing, and one and the same.
PARTS = [
    "import torch._dynamo.utils; assert torch._dynamo.utils.counters is not None",
    pytest.param("from torchmetrics.functional.image import spectral_angle_mapper", marks=pytest.mark.slow),
    pytest.param("import torchmetrics; assert torchmetrics.functional.accuracy", marks=pytest.mark.slow),
    pytest.param("from torchmetrics.utilities.plot import plot_curve", marks=pytest.mark.slow),
    pytest.param("from torch._dynamo.eval_frame import OptimizedModule", marks=pytest.mark.slow),
    pytest.param("pass", marks=pytest.mark.slow),
]
CHECK = """
import torchmetrics, torch._dynamo, torch._dynamo.eval_frame, lightning.fabric.wrappers as wrappers
from torchmetrics.utilities import plot
compiled = torch.compile(torch.nn.Linear(2, 1), backend="eager")
compiled(torch.zeros(1, 2))
assert isinstance(compiled, wrappers.OptimizedModule) and not isinstance(compiled._orig_mod, wrappers.OptimizedModule)
assert type(compiled) is torch._dynamo.eval_frame.OptimizedModule
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.disable.__module__ != "pmodel.commands.deferred"
metric = torchmetrics.Accuracy(task="binary")
metric.update(torch.tensor([1.0, 0.0]), torch.tensor([1, 0]))
assert metric.compute() == 1 and isinstance(metric, torchmetrics.Metric)
assert torchmetrics.Metric is torchmetrics.metric.Metric
assert isinstance(torchmetrics.MetricCollection([metric]), torchmetrics.MetricCollection)
import matplotlib
matplotlib.use("agg")
assert metric.plot()[0] is not None and plot.plot_curve
"""


@pytest.mark.parametrize("first", PARTS)
def test_what_is_asked_for_is_there_whatever_is_asked_for_first(first):
    python(f"{START}\n{first}\n{CHECK}")


def test_lightning_and_a_step_of_each_way_of_training_need_none_of_it(tmp_path):
    code = f"""
import runpy, sys
heavy = {HEAVY}
for model in ("vae", "gan", "kmeans"):
    sys.argv = [{str(ROOT / "train.py")!r}, "model=" + model, "data=digits", "trainer.max_epochs=1",
                "trainer.limit_train_batches=1", "callbacks=minimal", "logger=csv",
                "paths.log_dir=" + {str(tmp_path)!r}]
    runpy.run_path(sys.argv[0], run_name="__main__")
    found = [name for name in heavy if name in sys.modules]
    assert not found, (model, found)
from pmodel.figures.data import DataFigure
from pmodel.figures.figure import Scene
sys.path.insert(0, {str(ROOT / "tests")!r})
from support import source
DataFigure(100, 10, 2000).draw(Scene(source("digits"), 0))  # before the first step, with all figures
assert "matplotlib" not in sys.modules
import torch._dynamo
assert torch._dynamo.disable.__module__ == "pmodel.commands.deferred"  # still put off
"""
    python(code)
