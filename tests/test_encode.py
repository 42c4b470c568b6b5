"""pmodel encode: the columns and what is in them, rows that no training has seen, and what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command, Outcome, train_in
from PIL import Image
from support import normal, run_directory

import pmodel
from pmodel.commands import encoding
from pmodel.reporting.column_files import column_file

SMALL = ["trainer.max_epochs=1", "callbacks=minimal", "logger=none"]


@pytest.fixture(scope="module")
def table_run(tmp_path_factory) -> Path:
    """A mixture of two columns of very different scales, whose rows have labels."""
    folder = tmp_path_factory.mktemp("runs")
    rows = (normal(300, 2).double() * torch.tensor([1.0, 500.0]) + torch.tensor([1e6, -3.0])).tolist()
    lines = "".join(f"{a!r},{b!r},{'xy'[i % 2]}\n" for i, (a, b) in enumerate(rows))
    (folder / "t.csv").write_text(f"time,height,kind\n{lines}")
    words = ["model=gmm", "model.num_components=2", "data=table", f"data.path={folder / 't.csv'}"]
    train_in(folder, [*words, "data.label_column=kind", "data.standardize=true", *SMALL])
    return run_directory(folder)


def columns(file: Path) -> dict[str, list[str]]:
    with file.open(newline="") as lines:
        names, *rows = csv.reader(lines)
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def numbers(found: dict[str, list[str]], name: str) -> torch.Tensor:
    return torch.tensor([float(value) for value in found[name]], dtype=torch.float64)


def codes(found: dict[str, list[str]], count: int) -> torch.Tensor:
    return torch.stack([numbers(found, f"code_{j}") for j in range(count)], 1).float()


def said(outcome: Outcome) -> list[str]:
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.splitlines()[-2:]


def test_columns_hold_what_the_model_says_of_each_example(command: Command, tmp_path):
    """Of a run's own test split, in two blocks of the file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "PARTS", 2)
        lines = said(command("encode", "run=zoo/vae", "split=test", "batch_size=300", "out=a.csv"))
    assert lines[0] == "codes     1,000 examples in a.csv"
    assert lines[1] == "columns   example, label, reconstruction_error, elbo, code_0 … code_15"
    found, run = columns(tmp_path / "a.csv"), pmodel.open_run("zoo/vae")
    batch = run.data.examples("test", 1000)
    assert found["example"] == [str(i) for i in range(1000)]
    assert found["label"] == [str(k) for k in batch.label.tolist()]
    assert torch.allclose(codes(found, 16), run.model.encode(batch.x), atol=1e-5)
    error = (run.model.reconstruct(batch.x) - batch.x).square().flatten(1).mean(1)
    assert torch.allclose(numbers(found, "reconstruction_error").float(), error, atol=1e-6)
    bound = run.model.elbo(batch.x, generator=torch.Generator().manual_seed(0)).double()
    # Its noise is another one: of a thousand examples the mean moves by a fraction of a nat.
    assert abs(numbers(found, "elbo").mean() - bound.mean()) < 1
    assert (numbers(found, "elbo") != bound).any()


def test_clusters_of_images_that_lie_in_a_folder(command: Command, tmp_path):
    run = pmodel.open_run("zoo/kmeans")
    x = run.data.examples("test", 3).x
    for name, image in zip(("b/2", "a/1", "c"), x, strict=True):
        file = tmp_path / "new" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image[0] * 255).round().byte().numpy()).resize((56, 56), Image.Resampling.NEAREST).save(file)
    words = ["data=image_folder", f"data.path={tmp_path / 'new'}", "data.storage=disk"]
    lines = said(command("encode", "run=zoo/kmeans", *words, "out=clusters.csv"))
    found = columns(tmp_path / "clusters.csv")
    assert lines[1].startswith("columns   example, label, cluster, reconstruction_error, code_0")
    assert found["example"] == ["a/1.png", "b/2.png", "c.png"]
    assert found["label"] == ["a", "b", ""]
    assert found["cluster"] == [str(k) for k in run.model.assign(x[[1, 0, 2]]).tolist()]


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_one_new_row_in_the_units_of_its_table(command: Command, tmp_path, table_run, kind):
    """Its log-density is that of the file's units, by the formula."""
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs pmodel[parquet]")
    (tmp_path / "new.csv").write_text("time,height\n1000001.5,-200\n")
    new = ["data.path=new.csv", "data.label_column=null"]
    lines = said(command("encode", f"run={table_run}", *new, f"out=row.{kind}"))
    assert lines[1] == "columns   example, cluster, log_prob, code_0, code_1"
    if kind == "npz":
        with np.load(tmp_path / "row.npz") as arrays:
            found = {name: arrays[name][0] for name in arrays}
    else:
        from pyarrow import parquet

        found = {name: values[0] for name, values in parquet.read_table(tmp_path / "row.parquet").to_pydict().items()}
    model, data = (run := pmodel.open_run(table_run)).model, run.data
    weights, means, covariances = model.gaussian_components()
    u = torch.tensor([1000001.5, -200.0], dtype=torch.float64)
    scale = data.scale
    parts = [
        w.log()
        + torch.distributions.MultivariateNormal(
            data.origin + scale * mean, covariance_matrix=scale[:, None] * covariance * scale
        ).log_prob(u)
        for w, mean, covariance in zip(weights, means, covariances, strict=True)
    ]
    expected = torch.stack(parts)
    assert found["log_prob"] == pytest.approx(expected.logsumexp(0).item(), abs=1e-3)
    assert found["cluster"] == expected.argmax().item()
    assert found["code_0"] == pytest.approx(expected.softmax(0)[0].item(), abs=1e-4)


def test_all_rows_come_in_the_order_of_the_file(command: Command, tmp_path, table_run):
    said(command("encode", f"run={table_run}", "out=all.csv"))
    found = columns(tmp_path / "all.csv")
    assert found["example"] == [str(i) for i in range(300)]
    assert found["label"] == ["x", "y"] * 150


def test_two_devices_write_what_one_does(command: Command, tmp_path):
    words = ["run=zoo/vae", "split=validation", "batch_size=100"]
    for count in (1, 2):
        said(command("encode", *words, f"trainer.devices={count}", f"out={count}.csv"))
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out=x.txt"], "out=x.txt: expected a name that ends in .parquet, .csv, .npz"),
        (["out=there.csv"], "out=there.csv: there is a file already, which is kept: type another name"),
        ([], "out must be set: type out=… (conf/encode.yaml leaves it open)"),
        (["out=x.csv", "split=none"], "split=none: expected one of all, train, validation, test"),
        (["out=x.csv", "data.pth=x"], "data.pth: the run's data have no such setting; they have "),
        (["out=x.csv", "data=digits"], "data.shape=[1, 8, 8]: the model of run="),
        (["out=x.csv", "data=points"], "data.shape=[2]: the model of run="),
        (
            ["out=x.csv", "data=points", "run=[zoo/vae,zoo/pca]"],
            "run=[zoo/vae,zoo/pca]: expected one run, and these are",
        ),
        (["out=x.csv", "data=pointz"], "data=pointz: data has no option 'pointz'; did you mean points?"),
    ],
)
def test_what_can_not_be_encoded_is_one_line(command: Command, tmp_path, words, message):
    (tmp_path / "there.csv").write_text("kept")
    outcome = command("encode", *([] if any(word.startswith("run=") for word in words) else ["run=zoo/vae"]), *words)
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert outcome.err.startswith(f"error: {message}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there.csv"]


def test_a_table_that_is_cut_leaves_no_file(tmp_path):
    def cut() -> None:
        with column_file(tmp_path / "x.csv") as append:
            append({"example": np.arange(3)})
            raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        cut()
    assert list(tmp_path.iterdir()) == []
