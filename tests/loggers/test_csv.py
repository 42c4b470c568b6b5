"""What loggers write, read back."""

import csv

import numpy as np
from support import run_directory

from pmodel.loggers.csv import CSVLogger

SMALL = ["data.limit=64", "trainer.max_epochs=2", "callbacks.final.num_samples=2"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_keeps_what_an_earlier_process_wrote_up_to_the_step_it_resumes_from(tmp_path):
    first = CSVLogger(str(tmp_path))
    for step in (1, 2, 3):
        first.log_metrics({"train/loss": 10.0 - step, "epoch": step}, step)
    first.finalize("failed")
    second = CSVLogger(str(tmp_path))
    second.log_metrics({"train/loss": 5.0}, 2)
    second.log_metrics({"val/loss": 4.0}, 2)
    second.finalize("success")
    assert rows(tmp_path / "metrics.csv") == [
        {"step": "1", "epoch": "1", "train/loss": "9.0", "val/loss": ""},
        {"step": "2", "epoch": "2", "train/loss": "5.0", "val/loss": "4.0"},
    ]


def test_tensorboard_gets_the_figures_and_the_numbers(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(*SMALL, "logger=tensorboard").code == 0
    events = EventAccumulator(str(run_directory(tmp_path / "logs") / "tensorboard")).Reload()
    assert {"figures/samples", "figures/reconstructions", "figures/loss_curves"} <= set(events.Tags()["images"])
    assert {"train/loss", "val/loss", "val/elbo"} <= set(events.Tags()["scalars"])
    last = float(rows(run_directory(tmp_path / "logs") / "metrics.csv")[-1]["val/loss"])
    assert np.isclose(events.Scalars("val/loss")[-1].value, last)
