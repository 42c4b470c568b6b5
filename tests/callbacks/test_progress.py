"""What a terminal shows while a model trains."""

import re
import sys
from types import SimpleNamespace

import pytest
import torch

from pmodel.callbacks.progress import Progress
from pmodel.callbacks.top_profiler import TopProfiler
from pmodel.interactive.notebook import NotebookProgress

GAN = {
    "monitor": "val/frechet",
    "headline": ("discriminator_loss", "generator_loss"),
    "last_terms": {"discriminator_loss": torch.tensor([0.61234]), "generator_loss": torch.tensor([-1.41234])},
    "logged": {"val/frechet": 1234.5678, "train/discriminator_loss": 0.5, "train/generator_loss": 0.7},
}
VAE = {
    "monitor": "val/loss",
    "headline": (),
    "last_terms": {"loss": torch.tensor([101.2345])},
    "logged": {"val/loss": 102.3456, "train/loss": 103.4567},
}


def training(monitor, headline, last_terms, logged, epochs=40):
    """A trainer within its last epoch, and its model."""
    loop = SimpleNamespace(batch_progress=SimpleNamespace(total=SimpleNamespace(completed=300 * epochs - 300)))
    trainer = SimpleNamespace(
        max_steps=-1,
        max_epochs=epochs,
        num_training_batches=300,
        should_stop=False,
        current_epoch=0,
        fit_loop=SimpleNamespace(epoch_loop=loop),
        callback_metrics={name: torch.tensor(value) for name, value in logged.items()},
    )
    model = SimpleNamespace(
        monitor=monitor,
        headline=headline,
        last_terms=last_terms,
        validation_name="val (averaged weights)",
        in_the_datas_units=lambda values: values,
        ending=None,
    )
    return trainer, model


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A function that makes the standard error a terminal of so many columns."""

    def of(columns):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "24")

    return of


def last_bar(err):
    return [part for part in err.split("\r") if part.strip()][-1]


@pytest.mark.parametrize(
    ("of", "two", "all_of_them"),
    [
        (VAE, ["loss 101.2", "val loss 102.3"], ["loss 101.2", "val loss 102.3"]),
        (
            GAN,
            ["generator_loss -1.412", "val frechet 1235"],
            ["discriminator_loss 0.6123", "generator_loss -1.412", "val frechet 1235"],
        ),
    ],
    ids=["vae", "gan"],
)
def test_80_columns_have_room_for_two_numbers_and_many_for_all_and_the_rate(of, two, all_of_them, terminal, capsys):
    for columns, numbers in ((81, two), (181, all_of_them)):
        terminal(columns)
        trainer, model = training(**of)
        progress = Progress(refresh_per_second=1e9)
        progress.on_train_start(trainer, model)
        progress.on_train_batch_end(trainer, model, None, None, 0)
        bar = last_bar(capsys.readouterr().err)
        assert len(bar) < columns
        assert bar.startswith("epoch 1")
        assert all(number in bar for number in numbers), bar
        assert ("step/s" in bar or "s/step" in bar) == (columns > 100)
        progress.teardown(trainer, model, "fit")
        capsys.readouterr()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_same_lines_of_epochs_stay_on_a_terminal_and_in_a_file(is_terminal, terminal, capsys):
    if is_terminal:
        terminal(80)
    trainer, model = training(**VAE)
    progress = Progress(refresh_per_second=5)
    progress.on_train_start(trainer, model)
    for epoch in range(40):
        trainer.current_epoch = epoch
        progress.on_train_epoch_end(trainer, model)
    progress.teardown(trainer, model, "fit")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [int(re.match(r"epoch (\d+)/40", line)[1]) for line in lines] == [1, *range(2, 41, 2)]
    assert lines[0] == "epoch 1/40  train loss 103.5  val (averaged weights) loss 102.3"


def test_a_profile_is_its_ten_costliest_parts(capsys):
    profiler = TopProfiler()
    for i in range(14):
        profiler.recorded_durations[f"[Callback]Figures{{'a': {i}}}.on_train_epoch_end {i}"] = [float(i), 1.0]
    profiler.recorded_durations["run_training_epoch"] = [100.0]
    profiler.describe()
    title, head, *lines = capsys.readouterr().out.strip().splitlines()
    assert "the 10 costliest of 15" in title
    assert head.split() == ["s", "share", "calls"]
    assert len(lines) == 10
    times = [float(line.split()[0]) for line in lines]
    assert times == [100.0, *(float(i + 1) for i in range(13, 4, -1))]
    assert lines[0].split()[2:] == ["1", "run_training_epoch"]


def test_a_notebook_has_one_line_with_the_numbers_of_the_step_and_then_of_the_epoch(monkeypatch):
    display = pytest.importorskip("IPython.display")
    lines = []
    handle = SimpleNamespace(update=lambda html: lines.append(html.data))
    monkeypatch.setattr(display, "display", lambda html, display_id: handle)
    trainer, model = training(**VAE)
    progress = NotebookProgress(refresh_per_second=1000)
    progress.on_train_start(trainer, model)
    progress.on_train_batch_end(trainer, model, None, None, 0)
    progress.on_train_epoch_end(trainer, model)
    assert len(lines) == 2
    assert lines[0].endswith("<code>epoch 1  11,701 of 12,000 steps  loss 101.2  val loss 102.3</code>")
    assert lines[1].endswith("train loss 103.5  val (averaged weights) loss 102.3</code>")
