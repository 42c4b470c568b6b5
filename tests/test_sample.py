"""pmodel sample: which draws become files, the same on two devices and after a kill, and what is refused."""

import csv
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from conftest import Command, Outcome, train_in
from forked import Fork
from inception_weights import Images, write_inception_weights
from PIL import Image
from support import normal, run_directory, small_disk

import pmodel
from pmodel.commands import sampling
from pmodel.commands.sample_files import Plan
from pmodel.evaluation.draws import PART, draw_part, image_bytes
from pmodel.evaluation.subject import Subject
from pmodel.features.inception import in_bytes
from pmodel.runs.claim import Claim

SMALL = ["trainer.max_epochs=1", "callbacks=minimal", "logger=none"]
RUNS = {
    "pca": ["data.limit=200", "model.num_components=8"],
    "kmeans": ["data.limit=200"],
    "gan": ["data.limit=128", "model.class_conditional=true"],
    "gmm": ["data=points", "data.num_train=200"],
    "gaussian": ["data=table", "data.path=…"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind: draws beyond [0, 1], none, classes, points in the plane, and rows of a table far from 0."""
    folder = tmp_path_factory.mktemp("runs")
    rows = normal(300, 2).double() * torch.tensor([1.0, 5.0]) + torch.tensor([1e9, -3.0])
    lines = "".join(f"{a!r},{b!r}\n" for a, b in rows.tolist())
    (folder / "t.csv").write_text(f"time,height\n{lines}")
    RUNS["gaussian"][1] = f"data.path={folder / 't.csv'}"
    train_in(folder, *([f"model={model}", f"paths.log_dir={model}", *SMALL, *words] for model, words in RUNS.items()))
    return {model: run_directory(folder / model) for model in RUNS}


Sample = Callable[..., Outcome]


@pytest.fixture
def sample(command: Command) -> Sample:
    """Runs `pmodel sample` with words, in this process and in an empty folder."""
    return partial(command, "sample")


def said(outcome: Outcome) -> str:
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.splitlines()[-1]


def files(folder: Path) -> dict[str, bytes]:
    """All that is in a folder, but what says how it was made."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if not name.endswith(".json")}


def pixels(folder: Path, pattern: str = "*.png") -> np.ndarray:
    """Images (N, H, W) in the order of their names."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob(pattern))])


def test_png_files_are_the_draws_that_eval_measures_rounded_as_inception_gets_them(runs, sample, tmp_path):
    n = PART + 137
    assert said(sample(f"run={runs['pca']}", f"n={n}", "out=draws")).startswith(f"samples   {n} images in draws/; ")
    run = pmodel.open_run(runs["pca"])
    x = Subject(run.model, run.data).samples(n)
    assert x.min() < -0.01
    assert x.max() > 1.01
    assert list(files(tmp_path / "draws")) != []
    assert sorted(files(tmp_path / "draws")) == [f"{k:06}.png" for k in range(n)]
    found = pixels(tmp_path / "draws")
    assert found.dtype == np.uint8
    assert np.array_equal(found[:, None], in_bytes(x).numpy())
    about = json.loads((tmp_path / "draws" / "sample.json").read_text())
    assert (about["n"], about["seed"], about["checkpoint_sha256"]) == (n, 0, run.sha256)
    assert about["command"][:2] == ["pmodel", "sample"]
    other = said(sample(f"run={runs['pca']}", "n=3", "out=other", "seed=1"))
    assert other.startswith("samples   3 images in other/; ")
    assert not np.array_equal(pixels(tmp_path / "other"), found[:3])


def test_an_npz_file_has_the_same_draws_and_leaves_nothing_beside_it(runs, sample, tmp_path):
    sample(f"run={runs['pca']}", "n=620", "out=draws")
    assert said(sample(f"run={runs['pca']}", "n=620", "out=a/draws.npz")).startswith(
        "samples   620 images in a/draws.npz"
    )
    with np.load(tmp_path / "a" / "draws.npz") as arrays:
        assert list(arrays) == ["x"]
        assert (arrays["x"].dtype, arrays["x"].shape) == (np.uint8, (620, 1, 8, 8))
        assert np.array_equal(arrays["x"][:, 0], pixels(tmp_path / "draws"))
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"draws.npz", "draws.npz.json"}


@pytest.mark.parametrize("out", ["draws", "draws.npz"])
def test_two_devices_write_the_bytes_that_one_writes(out, runs, sample, tmp_path):
    words = [f"run={runs['pca']}", f"n={3 * PART + 60}"]
    for folder, devices in (("one", 1), ("two", 2)):
        assert "all of them" not in said(sample(*words, f"out={folder}/{out}", f"trainer.devices={devices}"))
    one, two = (files(tmp_path / folder) for folder in ("one", "two"))
    assert len(one) == (1 if out.endswith("npz") else 3 * PART + 60)
    assert one == two


# Ends its process for good while it writes a file, of which the content is there and the name is not.
KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pmodel.commands import sample_files

replacing, count, at = sample_files.replacing, 0, int(sys.argv[-1])

@contextmanager
def killed(path, *rest, **settings):
    global count
    count += 1
    with replacing(path, *rest, **settings) as file:
        yield file
        if count == at:
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

sample_files.replacing = killed
sys.argv = ["pmodel", "sample", *sys.argv[1:-1]]
from pmodel.__main__ import main
main()
"""


@pytest.mark.parametrize(("out", "at"), [("draws", PART + 77), ("draws.npz", 2), ("draws.npz", 4)])
def test_after_a_kill_the_same_command_writes_the_rest_and_nothing_twice(out, at, runs, sample, tmp_path, monkeypatch):
    """A kill amid the files of a part, amid a part of an .npz, and while all parts become one file."""
    words = [f"run={runs['pca']}", f"n={2 * PART + 60}", "trainer.accelerator=cpu"]
    (tmp_path / "killed.py").write_text(KILLED)
    process = Fork([sys.executable, "killed.py", *words, f"out=cut/{out}", str(at)], dict(os.environ))
    assert process.wait(100) == -signal.SIGKILL, process.said()
    left = [path for path in (tmp_path / "cut").rglob("*") if path.suffix == ".tmp"]
    assert len(left) == 1
    drawn = []
    monkeypatch.setattr(
        sampling, "draw_part", lambda model, part, *a, **s: drawn.append(part) or draw_part(model, part, *a, **s)
    )
    there, rest = {("draws", PART + 77): (PART + 76, [1, 2]), ("draws.npz", 2): (PART, [1, 2])}.get(
        (out, at), (2 * PART + 60, [])
    )
    line = said(sample(*words, f"out=cut/{out}"))
    assert drawn == rest
    assert f"{there:,} of them were there" in line or (line.endswith("all of them were there") and not rest)
    assert "of them were there" not in said(sample(*words, f"out=whole/{out}"))
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert len(files(tmp_path / "whole")) == (1 if out.endswith("npz") else 2 * PART + 60)


@pytest.mark.parametrize(("model", "out"), [("pca", "draws"), ("pca", "draws.npz"), ("gmm", "draws.csv")])
def test_a_larger_n_adds_draws_to_those_that_there_are(model, out, runs, sample, tmp_path, monkeypatch):
    run = f"run={runs[model]}"
    sample(run, f"n={PART + 20}", f"out=a/{out}")
    drawn = []
    monkeypatch.setattr(
        sampling, "draw_part", lambda model, part, *a, **s: drawn.append(part) or draw_part(model, part, *a, **s)
    )
    more = [f"n={2 * PART + 3}", run]
    line = said(sample(*more, f"out=a/{out}"))
    assert drawn == [1, 2]
    assert f"{PART + 20 if out == 'draws' else PART} of them were there" in line
    assert said(sample(*more, f"out=a/{out}")).endswith("all of them were there")
    sample(*more, f"out=b/{out}")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    fewer = sample(run, "n=4", f"out=a/{out}")
    assert (fewer.code, fewer.err) == (2, f"error: n=4: out=a/{out} is for 1,003 draws already; type another out=…\n")


def test_classes_take_turns_and_each_has_a_folder(runs, sample, tmp_path):
    run = f"run={runs['gan']}"
    assert "605 images" in said(sample(run, "n=605", "classes=[3,5]", "out=two"))
    names = {folder: sorted(p.name for p in (tmp_path / "two" / folder).iterdir()) for folder in ("3", "5")}
    assert names == {"3": [f"{k:06}.png" for k in range(0, 605, 2)], "5": [f"{k:06}.png" for k in range(1, 605, 2)]}
    sample(run, "n=605", "classes=[3,5]", "out=two.npz")
    with np.load(tmp_path / "two.npz") as arrays:
        x, label = arrays["x"], arrays["label"]
    assert label.dtype == np.int64
    assert label.tolist() == [3, 5] * 302 + [3]
    for k in (3, 5):
        assert np.array_equal(x[label == k][:, 0], pixels(tmp_path / "two" / str(k)))
    model = pmodel.open_run(runs["gan"]).model
    expected, _ = draw_part(model, 1, torch.device("cpu"), label=torch.tensor([3, 5] * (PART // 2)))
    assert np.array_equal(x[PART:], image_bytes(expected)[:105].numpy())
    sample(run, "n=23", "classes=all", "out=all")
    counts = [len(list((tmp_path / "all" / str(k)).iterdir())) for k in range(10)]
    assert counts == [3, 3, 3] + [2] * 7
    plain = said(sample(run, "n=7", "out=plain"))
    assert plain.startswith("samples   7 images in plain/")
    assert len(files(tmp_path / "plain")) == 7


def test_points_are_rows_in_the_units_of_the_data_with_the_names_of_its_columns(runs, sample, tmp_path):
    run = pmodel.open_run(runs["gaussian"])
    assert said(sample(f"run={runs['gaussian']}", "n=520", "out=rows.csv")).startswith(
        "samples   520 points in rows.csv"
    )
    with (tmp_path / "rows.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["time", "height"]
    expected = run.data.restore(Subject(run.model, run.data).samples(520))
    assert torch.equal(torch.tensor([[float(cell) for cell in row] for row in rows], dtype=torch.float64), expected)
    sample(f"run={runs['gaussian']}", "n=520", "out=rows.npz")
    with np.load(tmp_path / "rows.npz") as arrays:
        assert np.array_equal(arrays["x"], expected.numpy())
    sample(f"run={runs['gmm']}", "n=9", "out=points.npz")
    with np.load(tmp_path / "points.npz") as arrays:
        assert (arrays["x"].dtype, arrays["x"].shape) == (np.float32, (9, 2))
    sample(f"run={runs['gmm']}", "n=9", "out=points.csv")
    assert (tmp_path / "points.csv").read_text().startswith("x1,x2\n")


REFUSED = {
    "model=kmeans out=k": "KMeans can't sample: it has no sample",
    "model=pca n=0 out=k": "n=0: expected a whole number, at least 1",
    "model=pca": "out must be set: type out=…",
    "model=pca out=k n=": "n=: expected a whole number, at least 1",
    "run=nowhere out=k": "run=nowhere: there is no such run directory or checkpoint",
    "model=pca out=k.csv": "out=k.csv: the run draws images: type a folder for PNG files, or out=draws.npz",
    "model=pca out=k.png": "out=k.png: expected a folder, or draws.npz; files of the kind .png are not written",
    "model=gmm out=k": "out=k: the run draws points, which are no PNG files: type out=draws.npz or draws.csv",
    "model=pca out=k classes=all": "was trained without labels, and has no classes",
    "model=gan out=k classes=[3,10]": "classes=[3,10]: expected numbers from 0 to 9, each once, or all",
    "model=gan out=k classes=[3,3]": "classes=[3,3]: expected numbers from 0 to 9, each once, or all",
    "model=gan out=k classes=three": "classes=three: expected all, a list of whole numbers",
    "model=pca out=full": "out=full: there are other files in it, such as full/notes.txt: type a new folder",
    "model=pca out=full/notes.txt": "out=full/notes.txt: expected a folder, or draws.npz",
    "model=pca out=full/x.npz": "out=full/x.npz: there is a file already, which is kept: type another name",
    "model=pca out=k answer={steps:3}": "answer.steps=3: PCA has only whiten to answer with",
    "model=pca out=k trainer.devices=0": "trainer.devices=0: expected a number of at least 1",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_what_is_wrong_is_one_line_and_nothing_is_written(typed, runs, sample, tmp_path):
    (tmp_path / "full").mkdir()
    for name in ("notes.txt", "x.npz"):
        (tmp_path / "full" / name).touch()
    words = ["n=5"] * ("n=" not in typed) + typed.split()
    words = [f"run={runs[w.removeprefix('model=')]}" if w.startswith("model=") else w for w in words]
    outcome = sample(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert REFUSED[typed] in outcome.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["full", "notes.txt", "x.npz"]


def test_several_runs_are_refused(runs, sample, tmp_path):
    outcome = sample(f"run=[{runs['pca']},{runs['gan']}]", "n=5", "out=k")
    assert outcome.code == 2
    assert outcome.err.endswith("]: expected one run, and these are 2\n")


def test_a_place_with_other_draws_is_kept_as_it_is(runs, sample, tmp_path):
    run, place = f"run={runs['pca']}", tmp_path / "draws"
    sample(run, "n=5", "out=draws")
    before = files(place) | {"about": (place / "sample.json").read_bytes()}
    for words, difference in {
        ("seed=1", run): "seed (0, and now 1)",
        ("answer={whiten:true}", run): 'answer (null, and now {"whiten": true})',
        (f"run={runs['gan']}",): "checkpoint (",
    }.items():
        outcome = sample("n=9", "out=draws", *words)
        assert outcome.code == 2
        assert outcome.err.startswith(f"error: out=draws: it has draws with another {difference}")
        assert outcome.err.count("\n") == 1
    (place / "000002 (copy).png").touch()
    outcome = sample(run, "n=5", "out=draws")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "000002 (copy).png is none of its draws" in outcome.err
    (place / "000002 (copy).png").unlink()
    assert files(place) | {"about": (place / "sample.json").read_bytes()} == before


def test_a_second_process_is_refused_while_the_first_one_draws(runs, sample, tmp_path):
    claim = Claim(tmp_path / "draws")
    outcome = sample(f"run={runs['pca']}", "n=5", "out=draws")
    claim.release()
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: out=draws: draws is in use by process {os.getpid()} on ")
    assert files(tmp_path / "draws") == {}
    assert "5 images" in said(sample(f"run={runs['pca']}", "n=5", "out=draws"))


@pytest.mark.parametrize("out", ["draws", "draws.npz"])
def test_a_full_disk_is_one_line_and_with_room_the_same_command_goes_on(out, runs, sample, tmp_path):
    n = 2000 if out == "draws" else 40_000
    with small_disk(tmp_path / "disk", 12) as disk:
        (disk / "filler").write_bytes(bytes(10 * 2**20))
        words = [f"run={runs['pca']}", f"n={n}", f"out=disk/a/{out}"]
        outcome = sample(*words)
        assert outcome.code == 1
        assert outcome.err.startswith(f"error: out=disk/a/{out}: ")
        assert "the disk is full" in outcome.err
        assert outcome.err.endswith("; the same command goes on\n")
        assert not list(disk.rglob("*.tmp"))
        (disk / "filler").unlink()
        assert "of them were there" in said(sample(*words))


def test_draws_that_are_no_numbers_are_no_images():
    with pytest.raises(ValueError, match="not finite"):
        image_bytes(torch.tensor([[[[0.5, torch.nan]]]]))


def test_the_files_of_a_part_are_those_below_n():
    plan = Plan(PART + 3, (1, 8, 8), np.dtype("uint8"), None, (4, 2, 7), None, 6)
    assert [len(plan.draws(part)) for part in plan.parts] == [PART, 3]
    labels = plan.labels(range(plan.n))
    assert np.bincount(labels)[[2, 4, 7]].tolist() == [168, 168, 167]


@pytest.mark.slow
def test_the_frechet_distance_of_2000_files_is_eval_pys_by_torch_fidelity(runs, sample, evaluate, tmp_path):
    """With a file of random weights, which both read; torch-fidelity reads the PNG files and measures by itself."""
    weights, n = write_inception_weights(tmp_path / "weights.pth"), 2000
    sample(f"run={runs['pca']}", f"n={n}", "out=draws")
    words = ["metric/features=inception", f"metric.features.weights={weights}", f"metric.samples.num_samples={n}"]
    others = [f"metric.{name}=null" for name in ("likelihood", "memorization", "modes", "clouds", "probe", "cost")]
    outcome = evaluate(f"run={runs['pca']}", *words, *others, "callbacks.figures=null", f"cache_dir={tmp_path / 'c'}")
    assert outcome.code == 0, outcome.err
    run = pmodel.open_run(runs["pca"])
    (number,) = [n for n in run.results["numbers"] if n["name"] == "frechet_distance"]
    real = in_bytes(run.data.examples("test", number["protocol"]["num_real"]).x)
    assert number["protocol"]["num_generated"] == n
    expected = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "draws"),
        input2=Images(real.expand(-1, 3, -1, -1)),
        feature_extractor_weights_path=str(weights),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    assert number["value"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)
