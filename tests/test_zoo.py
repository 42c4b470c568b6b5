"""The trained runs in zoo/: they are what their numbers say, small, and never written to."""

import csv
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run
from support import ROOT, loaded, run_directory

import pmodel
from pmodel.config.resuming import with_resumed_config
from pmodel.config.tree import ConfigError
from pmodel.files.run_files import BEST, CONFIG, LAST, METRICS, RESULTS, STATUS
from pmodel.runs.saved import find_run, read_checkpoint, read_status
from pmodel.runs.zoo import FOLDER, in_zoo, located

NAMES = sorted(status.parent.name for status in FOLDER.glob(f"*/{STATUS}"))
# Bytes: what is larger does not travel in the wheel.
MOST_OF_ONE, MOST_OF_ALL = 10**6, 12 * 10**6
QUICK = ["metric.samples=null", "metric.memorization=null", "metric.probe=null", "callbacks.figures=null"]


@pytest.fixture(scope="module")
def make() -> Any:
    return loaded(FOLDER / "make.py")


@pytest.fixture
def unchanged() -> Iterator[None]:
    """The zoo is bit by bit what it was before."""
    before = content()
    yield
    assert content() == before


def content() -> dict[str, str]:
    files = (file for file in FOLDER.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def stored(name: str) -> dict[str, dict[str, Any]]:
    """The numbers in a run's results.json, by name."""
    results = json.loads((FOLDER / name / RESULTS).read_text(encoding="utf-8"))
    return {number["name"]: number for number in results["numbers"]}


def rows(folder: Path) -> list[dict[str, str]]:
    """Of metrics.csv."""
    with (folder / METRICS).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_there_is_a_run_of_each_family_and_the_table_is_made_from_them(make):
    assert set(NAMES) == set(make.RUNS)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert page.partition("<!-- runs -->\n")[2].partition("<!-- /runs -->")[0] == make.table()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_opens_is_small_and_names_no_place_of_the_machine_that_made_it(name, make):
    folder = FOLDER / name
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_OF_ONE
    run = pmodel.open_run(f"zoo/{name}")
    assert run.sha256 == json.loads((folder / RESULTS).read_text(encoding="utf-8"))["checkpoint_sha256"]
    assert run.results["numbers"] == list(stored(name).values())
    assert read_status(folder / STATUS, name)["status"] == "done"
    written = [file.read_text(encoding="utf-8") for file in files if file.suffix in (".yaml", ".json", ".csv")]
    written += texts(read_checkpoint(folder / "checkpoints" / BEST, name))
    assert not [text for text in written if re.search(r"(^|[\s'\"])(/|~|[A-Z]:\\)\w", text)]
    figures = [file.stem for file in folder.glob("figures/*.png")]
    assert sorted(figures) == sorted(make.RUNS[name].figures)


def test_all_are_small_and_travel_in_the_wheel():
    files = [file for name in NAMES for file in (FOLDER / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_OF_ALL
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["zoo"] == "pmodel/zoo"


def test_small_models_have_the_numbers_that_are_stored(evaluate: Run, make, tmp_path):
    names = ["kmeans", "pca", "pca_gmm", "autoencoder", "classifier"]
    assert evaluate(f"run=[{','.join(f'zoo/{name}' for name in names)}]", *QUICK).code == 0
    (file,) = tmp_path.glob(f"logs/eval/*/{RESULTS}")
    for name, run in zip(names, json.loads(file.read_text(encoding="utf-8"))["runs"], strict=True):
        main = make.RUNS[name].number
        (measured,) = [number for number in run["numbers"] if number["name"] == main]
        # An example at a border may be counted otherwise on another processor.
        assert measured["value"] == pytest.approx(stored(name)[main]["value"], rel=1e-4, abs=2e-3), name
        assert measured["protocol"] == stored(name)[main]["protocol"]


def test_samples_of_the_gan_are_as_far_from_digits_as_is_stored(evaluate: Run, tmp_path):
    assert evaluate("run=zoo/dcgan", *QUICK[1:]).code == 0
    (file,) = tmp_path.glob(f"logs/eval/*/{RESULTS}")
    numbers = {number["name"]: number for number in json.loads(file.read_text(encoding="utf-8"))["runs"][0]["numbers"]}
    assert numbers["frechet_distance"]["value"] == pytest.approx(stored("dcgan")["frechet_distance"]["value"], rel=1e-2)


def nll(model: Any, x: torch.Tensor) -> torch.Tensor:
    return -model.log_prob(x)


def negative_elbo(model: Any, x: torch.Tensor) -> torch.Tensor:
    return -model.elbo(x, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "count", "measure", "number"),
    [
        ("vae", 1000, negative_elbo, "negative_elbo"),
        ("vae_2d", 1000, negative_elbo, "negative_elbo"),
        ("pixelcnn", 100, nll, "negative_log_likelihood"),
        ("pixelrnn", 100, nll, "negative_log_likelihood"),
    ],
)
def test_likelihoods_of_test_examples_are_those_that_are_stored(name: str, count: int, measure: Callable, number: str):
    run = pmodel.open_run(f"zoo/{name}")
    measured = measure(run.model, run.data.examples("test", count).x).mean().item()
    known = stored(name)[number]
    assert known["count"] == 1000
    # Of all examples but for the noise of the bound, which is less than theirs; of some with their own spread.
    tolerance = 1 if count == 1000 else 4 * math.sqrt(1000 / count)
    assert measured == pytest.approx(known["value"], abs=tolerance * known["standard_error"])


def test_an_evaluation_writes_among_the_logs_and_not_into_the_zoo(evaluate: Run, tmp_path, unchanged):
    outcome = evaluate("run=zoo/kmeans", *QUICK)
    assert outcome.code == 0, outcome.err
    assert list(tmp_path.glob(f"logs/eval/*/{RESULTS}"))


def test_a_run_of_the_zoo_is_resumed_as_a_copy_each_time_a_new_one(train: Run, tmp_path, unchanged):
    for _ in range(2):
        outcome = train("resume=zoo/vae", "trainer.max_epochs=31")
        assert outcome.code == 0, outcome.err
        assert "resumed in epoch 31" in outcome.out
    first, second = sorted(status.parent for status in tmp_path.glob(f"logs/train/vae-mnist_5k/*/{STATUS}"))
    old, new = pmodel.open_run("zoo/vae"), pmodel.open_run(first / "checkpoints" / LAST)
    assert (old.epochs, new.epochs) == (30, 31)
    assert not torch.equal(next(old.model.parameters()), next(new.model.parameters()))
    # The weights and the optimizer's state are both taken up: it is no worse, and Adam has counted all steps.
    state = read_checkpoint(new.checkpoint, "")["optimizer_states"][0]["state"]
    assert {part["step"].item() for part in state.values()} == {31 * math.ceil(3500 / 64)}
    loss = {number["name"]: number["value"] for number in new.results["numbers"]}["loss"]
    before = min(float(row["val/loss"]) for row in rows(FOLDER / "vae") if row["val/loss"])
    assert loss == pytest.approx(before, abs=2)
    again = pmodel.open_run(second / "checkpoints" / LAST).model
    for a, b in zip(new.model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert rows(first)[: len(rows(FOLDER / "vae"))] == rows(FOLDER / "vae")
    assert len(rows(first)) > len(rows(FOLDER / "vae"))
    assert train(f"resume={first.relative_to(tmp_path)}", "trainer.max_epochs=32").code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resume=zoo/vae"], "resume=zoo/vae: that run is done; add trainer.max_epochs=… for more"),
        (
            ["resume=zoo/vae", "trainer.max_epochs=5"],
            "resume: the run has done its 30 epochs; add trainer.max_epochs=…",
        ),
        (["resume=zoo/vae", "model.beta=2"], "resume=zoo/vae: that run is done"),
        (["resume=zoo/vea", "trainer.max_epochs=31"], "resume=zoo/vea: expected the directory of a run"),
        (["resume=zoo", "trainer.max_epochs=31"], "resume=zoo: expected the directory of a run"),
    ],
    ids=lambda words: "-".join(words) if isinstance(words, list) else "",
)
def test_what_a_run_of_the_zoo_refuses_leaves_nothing_behind(words, line, train: Run, tmp_path, unchanged):
    outcome = train(*words)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {line}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_typed_is_taken_and_one_with_a_run_in_it_refused(train: Run, tmp_path, unchanged):
    words = ["resume=zoo/kmeans", "trainer.max_epochs=400"]
    assert train(*words, "hydra.run.dir=mine").code == 0
    assert run_directory(tmp_path) == tmp_path / "mine"
    outcome = train(*words, "hydra.run.dir=mine")
    assert (outcome.code, outcome.err) == (2, "error: hydra.run.dir=mine: there is a run in it\n")


def test_several_processes_need_a_directory_that_is_typed(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["resume=zoo/vae", "trainer.max_epochs=31"]
    with pytest.raises(ConfigError, match=r"\Aresume=zoo/vae: .* torchrun needs its name, hydra\.run\.dir=…\Z"):
        with_resumed_config(words, words, False)
    words.append("hydra.run.dir=mine")
    assert "hydra.run.dir='mine'" in with_resumed_config(words, words, False)


def test_a_folder_of_the_users_own_comes_first_and_is_no_part_of_the_zoo(evaluate: Run, tmp_path):
    own = tmp_path / "zoo" / "pca"
    (own / "checkpoints").mkdir(parents=True)
    for file in (CONFIG, STATUS, RESULTS, f"checkpoints/{BEST}"):
        (own / file).write_bytes((FOLDER / "kmeans" / file).read_bytes())
    assert evaluate("run=zoo/pca", *QUICK).code == 0
    assert list(own.glob(f"eval/*/{RESULTS}"))
    assert not in_zoo("zoo/pca")
    assert in_zoo("zoo/vae")
    assert in_zoo(FOLDER)
    assert find_run("zoo/pca", "").folder == Path("zoo/pca")
    assert located("zoo/../zoo/vae") == Path("zoo/../zoo/vae")


def test_a_new_vae_begins_with_the_networks_of_the_zoos(train: Run, tmp_path, unchanged):
    outcome = train("data=mnist_5k", "model=vae", "model/network=run", "model.network.run=zoo/vae", "check=true")
    assert outcome.code == 0, outcome.err
