"""docs/results.md: written from files, of commands that are right."""

import json
import re
from types import ModuleType

import pytest
from omegaconf import OmegaConf
from support import ROOT, loaded, run_directory

from pmodel.config.check import check_overrides


@pytest.fixture
def results() -> ModuleType:
    return loaded(ROOT / "docs" / "results.py")


def test_the_page_is_what_the_script_writes(results: ModuleType):
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results.rendered()


@pytest.mark.slow
def test_every_command_composes(results: ModuleType):
    tables = OmegaConf.to_container(OmegaConf.load(results.PUBLISHED))
    rows = {(row["command"], row.get("after")) for table in tables for row in table["rows"]}
    for command, after in rows | {(after, None) for _, after in rows if after}:
        words = [word for word in command.split() if not word.startswith(("-m", "seed="))]
        check_overrides("train", [*words, *(["model.encoder.run=run"] if after else [])])
    for asked in {results.Row(table, row).evaluation for table in tables for row in table["rows"]}:
        check_overrides("eval", ["run=x", *asked.split()])


def test_every_results_file_stands_beside_a_published_number(results: ModuleType):
    tables = OmegaConf.to_container(OmegaConf.load(results.PUBLISHED))
    known = {results.results_file(row["command"]) for table in tables for row in table["rows"]}
    assert set(results.RESULTS.glob("*.json")) <= known


@pytest.fixture
def runs(tmp_path):
    """Three seeds of a command, evaluated, and what eval.py and train.py left of them."""
    for seed, value in ((1, 80.0), (2, 82.0), (3, 81.0)):
        folder = tmp_path / f"run{seed}"
        (folder / "eval" / "now").mkdir(parents=True)
        typed = ["experiment=pixelcnn_mnist", "model.dropout=0.1", f"seed={seed}", "data_dir=elsewhere"]
        OmegaConf.save(OmegaConf.create(typed), folder / "overrides.yaml")
        lines = ["step,epoch,timing/seconds,val/loss", "9,,,", "10,0,5.5,90", "20,1,7200,85", "25,2,,"]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        data = {"data": "mnist", "binarize": "dynamic"}
        number = {"name": "negative_log_likelihood", "value": value, "standard_error": 0.2, "protocol": data | {"k": 3}}
        numbers = [number, {"name": "parameters", "value": 7}]
        run = {"run": str(folder), "seed": seed, "epoch": 2, "status": "done", "checkpoint_sha256": "0", "data": data}
        about = {"split": "test", "hardware": "1 × abacus", "versions": {"torch": "2"}, "code": "abc"}
        asked = [f"run={folder}", "metric.likelihood.num_samples=3", "batch_size=10", "callbacks.figures=null"]
        content = {**about, "overrides": asked, "runs": [run | {"numbers": numbers}]}
        (folder / "eval" / "now" / "results.json").write_text(json.dumps(content))
    return [tmp_path / f"run{seed}" for seed in (1, 2, 3)]


def test_runs_that_differ_by_their_seed_are_one_row_with_its_spread(results: ModuleType, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    for folder in [*runs, runs[0]]:  # one of them twice
        (file,) = results.take_in(folder)
    assert file.name == "pixelcnn_mnist+dropout=0.1.json"
    assert (
        tmp_path / f"{file.stem}_seed2.csv"
    ).read_text() == "epoch,seconds,val/loss\n1,5.5,90.0000\n2,7200.0,85.0000\n"
    table = {"unit": "nats", "better": "lower", "digits": 1, "number": "negative_log_likelihood"}
    command = "-m experiment=pixelcnn_mnist model.dropout=0.1 seed=1,2,3"
    row = results.Row(table, {"model": "m", "protocol": "p", "published": 79.0, "command": command})
    assert row.cells() == ["m", "p", "79.0", "81.0 (sd 1.0 over 3 seeds)", "+2.0", "3", "7", "2", "2.0 h"]
    kept = json.loads(file.read_text())
    assert [run["numbers"][0]["protocol"] for run in kept["runs"]] == [{"k": 3}] * 3
    assert "elsewhere" not in file.read_text()
    # Both commands, with what the number needs, and nothing that says where things lay or how fast it went.
    assert row.commands == f"`uv run train.py {command}`, `uv run eval.py run=… metric.likelihood.num_samples=3`"


def test_a_second_evaluation_of_the_same_weights_adds_what_the_first_lacks(results, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    results.take_in(runs[0])
    first = runs[0] / "eval" / "now" / "results.json"
    content = json.loads(first.read_text())
    content["runs"][0]["numbers"] = [
        {"name": "frechet_distance", "value": value, "protocol": {"feature_network": network, "num_generated": n}}
        for network, value, n in (("small", 3.0, 100), ("large", 40.0, 20), ("large", 20.0, 100))
    ]
    (runs[0] / "eval" / "then").mkdir()
    (runs[0] / "eval" / "then" / "results.json").write_text(json.dumps(content))
    (file,) = results.take_in(runs[0])
    kept = json.loads(file.read_text())["runs"]
    names = [*["frechet_distance"] * 3, "negative_log_likelihood", "parameters"]
    assert [[number["name"] for number in run["numbers"]] for run in kept] == [names]
    table = {"unit": "distance", "better": "lower", "digits": 1, "number": "frechet_distance"}
    table["measured_by"] = {"feature_network": "large", "num_generated": 100}
    row = {"model": "m", "protocol": "p", "published": 21.0, "command": "experiment=pixelcnn_mnist model.dropout=0.1"}
    assert results.Row(table, row).cells()[3:5] == ["20.0", "−1.0"]
    content["runs"][0]["checkpoint_sha256"] = "1"
    (runs[0] / "eval" / "then" / "results.json").write_text(json.dumps(content))
    results.take_in(runs[0])
    assert len(json.loads(file.read_text())["runs"][0]["numbers"]) == 3  # other weights


def typed(folder, *more):
    words = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
    OmegaConf.save(OmegaConf.create([*words, *more]), folder / "overrides.yaml")


def test_a_run_that_was_cut_short_gives_way_to_whole_ones(results: ModuleType, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    typed(runs[0], "trainer=gpu", "trainer.max_time=00:00:04:10")
    table = {"unit": "nats", "better": "lower", "digits": 1, "number": "negative_log_likelihood"}
    row = {"model": "m", "protocol": "p", "published": 79.0, "command": "experiment=pixelcnn_mnist model.dropout=0.1"}
    results.take_in(runs[0])
    assert results.Row(table, row).cells()[:4] == ["m", "p, ended after 00:00:04:10", "79.0", "80.00 ± 0.20"]
    assert f"{row['command']} trainer.max_time=00:00:04:10`" in results.Row(table, row).line()
    results.take_in(runs[1])
    assert results.Row(table, row).cells()[:4] == ["m", "p", "79.0", "82.00 ± 0.20"]
    with pytest.raises(SystemExit, match=r"run1: ended by trainer\.max_time"):
        results.take_in(runs[0])


def test_distances_through_networks_of_other_weights_are_no_table(results: ModuleType, tmp_path, monkeypatch):
    rows = [{"model": name, "published": None, "protocol": "p", "command": f"experiment={name}"} for name in "ab"]
    table = {"title": "Fréchet distances", "number": "frechet_distance", "unit": "distance", "better": "lower"}
    OmegaConf.save(OmegaConf.create([{**table, "digits": 1, "note": "", "rows": rows}]), tmp_path / "published.yaml")
    for name in "ab":
        number = {"name": "frechet_distance", "value": 1.0, "protocol": {"feature_hash": name}}
        run = {"seed": 1, "split": "test", "numbers": [number]}
        (tmp_path / f"{name}.json").write_text(json.dumps({"runs": [run]}))
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "PUBLISHED", tmp_path / "published.yaml")
    with pytest.raises(SystemExit, match="Fréchet distances: expected features of the same weights"):
        results.rendered()


def test_runs_on_other_features_are_no_row_of_one_spread(results: ModuleType, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    for run, content in zip(runs, (b"a", b"a", b"b"), strict=True):
        (run / "features" / "checkpoints").mkdir(parents=True)
        (run / "features" / "checkpoints" / "last.ckpt").write_bytes(content)
        typed(run, f"model.encoder.run={run / 'features'}")
    for run in runs[:2]:
        results.take_in(run)
    with pytest.raises(SystemExit, match=r"run3: expected the model\.encoder\.run of the other runs"):
        results.take_in(runs[2])


def test_an_evaluation_that_does_not_say_what_was_typed_is_refused(results: ModuleType, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    file = runs[0] / "eval" / "now" / "results.json"
    content = json.loads(file.read_text())
    del content["overrides"]
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="run1: its evaluation does not say what was typed for it: evaluate it again"):
        results.take_in(runs[0])


def test_a_network_that_a_number_looked_through_stands_below_with_its_hash(results: ModuleType):
    tables = OmegaConf.to_container(OmegaConf.load(results.PUBLISHED))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    hashes = set()
    for table in tables:
        for row in (results.Row(table, row) for row in table["rows"]):
            hashes |= row.feature_hashes
            assert all(f", {weights}" in row.line() for weights in row.feature_hashes)
            assert row.line() in page
    assert hashes


# The setting of eval.py that a number depends on, and the protocol's entry for it, by its name.
ASKED = {
    "linear_probe_accuracy": ("metric.probe.num_train", "num_train"),
    "negative_importance_weighted_bound": ("metric.likelihood.num_samples", "num_samples"),
    "parzen_window_estimate": ("metric.parzen.num_samples", "num_generated"),
    "frechet_distance": ("metric.samples.num_samples", "num_generated"),
}


def test_what_eval_py_is_to_be_asked_for_gives_the_counts_that_a_number_was_measured_with(results: ModuleType):
    defaults, checked = OmegaConf.load(ROOT / "conf" / "metric" / "default.yaml"), set()
    for table in OmegaConf.to_container(OmegaConf.load(results.PUBLISHED)):
        for row in (results.Row(table, row) for row in table["rows"]):
            asked = OmegaConf.from_dotlist(row.evaluation.split())
            number = row._number(row.runs[0]) if row.runs else {}
            protocol = number.get("protocol", row.measured_by)
            assert asked.get("split", "test") == table.get("split", "test")
            is_inception = "Inception" in protocol.get("feature_network", "")
            assert ("metric/features=inception" in row.evaluation) == is_inception
            if row.name in ASKED:
                setting, key = ASKED[row.name]
                count = OmegaConf.select(OmegaConf.merge({"metric": defaults}, asked), setting)
                # null: all training examples, of these rows 60,000.
                assert (count or 60_000) == protocol[key], row.title
                checked.add(row.name)
    assert checked == set(ASKED)


def commands_on_the_page(page: str, title: str, model: str) -> tuple[list[str], list[str], str]:
    """Of a row below the heading that begins with `title`: the words for train.py, for eval.py, and our number."""
    (section,) = [part for part in page.split("\n## ") if part.startswith(title)]
    (cells,) = [line.split(" | ") for line in section.splitlines() if re.match(rf"\| {model}[ :]", line)]
    (line,) = [line for line in section.splitlines() if line.startswith(f"- {model},")]
    train, evaluate = re.findall(r"`uv run (?:train|eval)\.py ([^`]*)`", line)
    assert evaluate.split()[0] == "run=…"
    return train.split(), evaluate.split()[1:], cells[3]


@pytest.mark.slow
@pytest.mark.mnist
def test_two_rows_of_the_page_come_out_again_by_the_commands_that_stand_there(data_dir, train, evaluate, tmp_path):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    model = "PCA, 50 components"
    error = commands_on_the_page(page, "MNIST, squared error per pixel", model)
    probe = commands_on_the_page(page, "MNIST, linear probes", model)
    assert error[0] == probe[0]
    assert train(*error[0], f"data_dir={data_dir}", "callbacks=minimal").code == 0
    others = dict.fromkeys(["samples", "memorization", "cost"])
    for (_, words, printed), name, left_out in (
        (error, "reconstruction_error", others | {"probe": None}),
        (probe, "linear_probe_accuracy", others | {"reconstruction": None}),
    ):
        less = [f"metric.{metric}=null" for metric in left_out]  # they are other numbers, and take long
        run = run_directory(tmp_path / "logs" / "train")
        assert evaluate(f"run={run}", *words, *less, "callbacks.figures=null", "cache_dir=null").code == 0
        document = json.loads(max(run.glob("eval/*/results.json")).read_text(encoding="utf-8"))
        assert document["overrides"][1 : 1 + len(words)] == words
        (value,) = [number["value"] for number in document["runs"][0]["numbers"] if number["name"] == name]
        ours, _, deviation = printed.partition(" ± ")
        # Without an error, to the last digit that is printed.
        assert value == pytest.approx(float(ours), abs=float(deviation or 0.51 * 10 ** -len(ours.partition(".")[2])))


def test_a_run_that_was_not_evaluated_is_refused_in_one_line(results: ModuleType, tmp_path):
    with pytest.raises(SystemExit, match=r"expected a run that eval\.py has evaluated"):
        results.take_in(tmp_path)
