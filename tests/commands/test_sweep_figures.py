"""What a sweep of one setting draws by itself."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pmodel.commands.sweep_figures import figures_over, numbers_over, own_figures, spread, swept_number
from pmodel.commands.sweep_jobs import read_jobs
from pmodel.plots import sweeps


def write_job(folder: Path, number: int, typed: list[str], status: str = "done", **numbers: float) -> Path:
    """A job's directory with these numbers, of which the first is the main one and `loss` the monitor."""
    path = folder / f"{number}-vae-digits"
    (path / "figures").mkdir(parents=True)
    (path / "overrides.yaml").write_text("".join(f"- {line}\n" for line in typed), encoding="utf-8")
    (path / "status.json").write_text(json.dumps({"status": status, "monitor": "val/loss"}), encoding="utf-8")
    written = [{"name": name, "value": y, "unit": "nats", "split": "validation"} for name, y in numbers.items()]
    written.append({"name": "parameters", "value": 10, "unit": ""})
    (path / "results.json").write_text(json.dumps({"schema": 2, "numbers": written}), encoding="utf-8")
    return path


def sweep_of(folder: Path, key: str, values: list[str], seeds=(1, 2)) -> list:
    for i, value in enumerate(values):
        for j, seed in enumerate(seeds):
            numbers = {"bound": 100 + i + j, "kl": 10 - i, "other": 1, "reconstruction": 90 + 2 * i, "loss": 200 + i}
            write_job(folder, len(seeds) * i + j, ["model=vae", f"{key}={value}", f"seed={seed}"], **numbers)
    return read_jobs(folder)


def test_the_main_number_and_the_parts_that_beta_weighs_are_drawn_over_it(tmp_path):
    panels = numbers_over("model.beta", sweep_of(tmp_path, "model.beta", ["4", "0.1", "1"]))
    assert list(panels) == ["bound (nats)", "reconstruction (nats)", "kl (nats)"]
    deviation = pytest.approx(math.sqrt(0.5))
    assert panels["bound (nats)"] == [(0.1, 101.5, deviation), (1.0, 102.5, deviation), (4.0, 100.5, deviation)]
    assert panels["kl (nats)"] == [(0.1, 9, 0), (1.0, 8, 0), (4.0, 10, 0)]


def test_another_setting_has_the_main_number_and_the_monitor_alone(tmp_path):
    panels = numbers_over("model.latent_dim", sweep_of(tmp_path, "model.latent_dim", ["2", "8"], seeds=(1,)))
    assert list(panels) == ["bound (nats)", "loss (nats)"]
    assert all(math.isnan(deviation) for _, _, deviation in panels["bound (nats)"])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([["model.beta=1"], ["model.beta=2e-1"]], "model.beta"),
        ([["model.beta=1", "seed=1"], ["model.beta=2", "seed=1"], ["model.beta=2", "seed=2"]], "model.beta"),
        ([["seed=1"], ["seed=2"]], None),
        ([["model=vae"], ["model=gan"]], None),
        ([["model.beta=1"], ["model.beta=null"]], None),
        ([["model.beta=1"], ["model.beta=nan"]], None),
        ([["model.beta=1", "model.latent_dim=2"], ["model.beta=2", "model.latent_dim=4"]], None),
        ([["model.beta=1"], []], None),
    ],
)
def test_one_setting_of_numbers_beside_seeds_is_a_sweep(typed, expected, tmp_path):
    for number, lines in enumerate(typed):
        write_job(tmp_path, number, lines, bound=1.0)
    assert swept_number(read_jobs(tmp_path)) == expected


def test_figures_of_the_values_stand_beside_each_other_in_their_order(tmp_path):
    jobs = sweep_of(tmp_path, "model.beta", ["10", "1", "2", "3"])
    for job in jobs[:-2]:
        Image.new("RGB", (900, 300), "red").save(job.path / "figures" / "samples.png")
        Image.new("RGB", (900, 300), "red").save(job.path / "figures" / "reconstructions.png")
    name, files = figures_over("model.beta", jobs)
    assert name == "samples"
    assert list(files) == ["model.beta=1", "model.beta=2", "model.beta=10"]
    assert files["model.beta=10"] == jobs[0].path / "figures" / "samples.png"
    assert figures_over("model.beta", jobs[-2:]) == ("", {})
    assert spread(list(range(100)), 12)[::11] == [0, 99]
    page = sweeps.figures_by_value(files)
    # Two in a row, each made narrower.
    assert page.shape[1] == 2 * 720 + 24
    assert (page == (255, 0, 0)).all(2).sum() == 3 * 720 * 240


def test_a_sweep_leaves_its_figures_and_what_is_none_leaves_nothing(tmp_path):
    jobs = sweep_of(tmp_path, "model.num_clusters", ["2", "4", "128"], seeds=(1,))
    for job in jobs:
        Image.new("RGB", (90, 30), "red").save(job.path / "figures" / "centres.png")
    assert list(own_figures(tmp_path, jobs)) == [tmp_path / "sweep.png", tmp_path / "sweep_centres.png"]
    for name in ("sweep", "sweep_centres"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png")).std() > 0
    failed = [job._replace(status="failed") for job in jobs[1:]]
    assert list(own_figures(tmp_path, [jobs[0], *failed])) == []
    assert list(own_figures(tmp_path, [])) == []


def test_axes_are_logarithmic_where_values_rise_more_than_thirty_times(monkeypatch):
    shown = []
    monkeypatch.setattr(sweeps, "render", lambda figure: shown.append(figure) or np.zeros((4, 4, 3), np.uint8))
    nan = math.nan
    panels = {"a": [(1, 5, nan), (64, 6, nan)], "b": [(1, 500, 1), (2, 5, 1)], "c": [(0, 1, nan), (64, -500, nan)]}
    sweeps.numbers_over_setting(panels, "setting", "deviation")
    scales = [(axes.get_xscale(), axes.get_yscale()) for axes in shown[0].axes]
    assert scales == [("log", "linear"), ("linear", "log"), ("linear", "linear")]
