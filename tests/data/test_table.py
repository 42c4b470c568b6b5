"""What a user's table of numbers becomes, against its right values."""

import math
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from support import build, fit, source

from pmodel.data.base import SPLITS
from pmodel.data.table import Table
from pmodel.data.tables import layout


def gaussian(rows: int, *columns: tuple[float, float], seed: int = 0) -> np.ndarray:
    """(rows, D), float64, of independent columns with these means and standard deviations."""
    means, deviations = np.array(columns).T
    return means + deviations * np.random.default_rng(seed).standard_normal((rows, len(columns)))


def text(rows: np.ndarray, header: str = "", delimiter: str = ",") -> str:
    """As DataFrame.to_csv writes it: so many digits that float64 is read back."""
    lines = [delimiter.join(map(repr, row)) for row in rows.tolist()]
    return "\n".join([header] * bool(header) + lines) + "\n"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(content: str, **settings) -> Table:
        Path("t.csv").write_text(content, encoding="utf-8")
        typed = {"header": "auto", "columns": None, "label_column": None} | settings
        found = layout("t.csv", typed["header"], typed["columns"], typed["label_column"])
        return source("table", path="t.csv", **{"shape": [len(found.chosen)], "num_classes": None} | settings)

    return write


def all_rows(data: Table) -> torch.Tensor:
    """In the units of the file, sorted by the first column, (N, D), float64."""
    rows = torch.cat([data.restore(data.examples(split, 10**6).x) for split in SPLITS])
    return rows[rows[:, 0].argsort()]


def fitted(data: Table, *model: str, epochs: int = 2) -> dict[str, float]:
    """What is logged of a model of the table."""
    chosen, _ = build(f"data.shape=[{len(data.column_names)}]", "data=table", "data.path=t.csv", *model)
    trainer = fit(chosen, data, max_epochs=epochs)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("header", ["", "height, weight\n", "\ufeffa,b\n\n", "# a,b\n"])
def test_rows_are_split_80_10_10(table, header):
    data = table(header + "".join(f"{i}, -{i}.5e-1\r\n" for i in range(1, 41)), header="auto" if header else False)
    splits = [data.examples(split, 100) for split in SPLITS]
    assert [len(split.x) for split in splits] == [32, 4, 4]
    assert splits[0].x.dtype == torch.float32
    rows = torch.cat([split.x for split in splits])
    rows = rows[rows[:, 0].argsort()]
    assert rows[:, 0].tolist() == list(range(1, 41))
    assert torch.allclose(rows[:, 1], torch.tensor([-float(f"{i}.5e-1") for i in range(1, 41)]))
    assert (data.num_classes, data.log_volume, data.origin.tolist()) == (None, 0, [0, 0])
    assert data.examples("train", 1).label.tolist() == [-1]


def test_rows_of_a_split_are_drawn_by_the_split_seed(table):
    content = "".join(f"{i}.5,0\n" for i in range(40))
    drawn = [{*table(content, split_seed=seed).examples("test", 9).x[:, 0].tolist()} for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {36.5, 37.5, 38.5, 39.5} not in drawn


@pytest.mark.parametrize("first", [0, 1])
def test_a_header_of_numbers_is_no_row(first, table):
    """PCA explained 0.8744 of the variance, where 0.6436 are right, with 0, 1, …, 63 as one more row."""
    rows = gaussian(500, *[(0.0, 1.0)] * 64)
    names = ",".join(str(first + j) for j in range(64))
    with_header = table(text(rows, names))
    with_header.setup("fit")
    assert with_header.notes == [
        f"data.path=t.csv: line 1 ({', '.join(str(first + j) for j in range(10))}, …, {first + 63}) is taken for a"
        " header; data.header=false makes it a row"
    ]
    found = fitted(with_header, "model=pca", "model.num_components=32", epochs=1)
    assert len(all_rows(with_header)) == 500
    train = with_header.examples("train", 500).x.double().numpy()
    variances = np.linalg.eigvalsh(np.cov(train.T))[::-1]
    assert found["train/explained_variance"] == pytest.approx(variances[:32].sum() / variances.sum(), rel=1e-6)
    without = table(text(rows))
    assert torch.equal(without.examples("train", 500).x, torch.from_numpy(train).float())
    assert without.notes == []
    as_a_row = table(text(rows, names), header=False)
    assert len(all_rows(as_a_row)) == 501
    inertias = []
    for data in (with_header, without, as_a_row):
        lightning.seed_everything(0, verbose=False)
        inertias.append(fitted(data, "model=kmeans")["train/inertia"])
    assert inertias[0] == inertias[1]
    assert inertias[2] != pytest.approx(inertias[1], rel=1e-3)


@pytest.mark.parametrize("line", ["0,1,3", "1,2,4", "0.0,1.0,2.0", "2,3,4", "1,0,2"])
def test_other_numbers_are_a_row_unless_it_is_said(line, table):
    content = line + "\n" + "5,6,7\n" * 3
    assert (table(content).layout.header, table(content, header=True).layout.header) == (None, 1)


def test_an_offset_of_a_billion_keeps_the_density_and_the_inertia_of_float64(table):
    """In float32 all values of a column are one: −11.98 nats, and an inertia of 0."""
    rows = gaussian(300, (1e9, 1.0), (-1e9, 2.0))
    data = table(text(rows))
    assert np.allclose(np.sort(all_rows(data).numpy(), 0), np.sort(rows, 0), rtol=0, atol=1e-6)
    assert [note.split(":")[1] for note in data.notes] == [
        " the mean of x1, x2 is taken off, since float32 would cut digits off; samples and images have it again"
    ]
    train = data.restore(data.examples("train", 300).x).numpy()
    covariance = np.cov(train.T, bias=True)
    nll = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
    assert fitted(data, "model=gaussian", "model.reg_covar=0")["train/nll"] == pytest.approx(nll, rel=1e-6)
    found = fitted(table(text(rows)), "model=kmeans", "model.num_clusters=1")
    assert found["train/inertia"] == pytest.approx(np.square(train - train.mean(0)).sum(), rel=1e-6)


@pytest.mark.parametrize("days", [1 / 300, 1, 365])
def test_unix_seconds_stay_distinct(days, table):
    seconds = 1_700_000_000 + np.sort(np.random.default_rng(0).choice(int(86_400 * days), 250, replace=False))
    data = table("t\n" + "\n".join(map(str, seconds)))
    assert len(torch.cat([data.examples(split, 300).x for split in SPLITS]).unique()) == 250
    assert np.abs(all_rows(data)[:, 0].numpy() - seconds).max() <= 86_400 * days * 2**-24


@pytest.mark.parametrize(
    ("column", "origin"),
    [
        ([0.1, 2.7, 3.3, 4.4], 0),
        ([5e4, 3e4, 7.5e4, 1.1e5], 0),
        ([2001, 2002, 2003, 2003], 0),  # exact in float32
        ([1e-4, 1e6, 2.5, 40.0], 0),
        ([3.3, 3.3, 3.3, 3.3], 3.3),
        ([1e6 + 0.1, 1e6 + 0.2, 1e6 + 0.3, 1e6 + 0.4], 1e6 + 0.25),
    ],
)
def test_only_a_column_that_float32_would_cut_has_an_origin(column, origin, table):
    data = table("a\n" + "".join(f"{x!r}\n" for x in column * 10))
    assert data.origin.item() == pytest.approx(origin, rel=1e-7)


@pytest.mark.parametrize(
    ("column", "standardize", "pair"),
    [
        ([*range(50), *(10**12 + i for i in range(50))], False, r"\d+\.0 and \d+\.0"),
        ([1e-60, 2e-60, 3e-60, 4.0], False, ".e-60 and .e-60"),
        ([*range(20), 10**12], True, r"\d+\.0 and \d+\.0"),
    ],
)
def test_values_that_would_become_one_are_refused_with_their_column(column, standardize, pair, table):
    data = table("a,b\n" + "".join(f"{i % 7},{x}\n" for i, x in enumerate(column)), standardize=standardize)
    # Of the training rows that decide, the outlier is one.
    data._split_rows = lambda split: torch.arange(len(column))
    with pytest.raises(ValueError, match=f"^data.path=t.csv: column b: {pair} would become one number in float32, "):
        data.examples("train", 1)


def test_many_rows_of_all_digits_are_no_collapse(table):
    """Of 100,000 normal values a few become one in float32, which nobody needs to know."""
    x = torch.randn(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert len(x.float().unique()) < len(x.unique())
    from pmodel.data.table import first_lost

    assert first_lost(x, x.float()) is None
    assert first_lost(x, (x * 1e-9 + 1).float()) is not None


INCOME = (("age", 40.0, 10.0), ("income", 50_000.0, 15_000.0))


@pytest.fixture
def people(table):
    rows = gaussian(300, *(column[1:] for column in INCOME), seed=1)
    return lambda **settings: table(text(rows, "age,income"), **settings)


def test_standardized_columns_have_mean_0_and_deviation_1_and_come_back(people):
    raw, data = people(), people(standardize=True)
    train = data.examples("train", 1000).x.double()
    assert train.mean(0).abs().max() < 1e-6
    assert (train.std(0, correction=0) - 1).abs().max() < 1e-6
    for split in SPLITS:
        restored = data.restore(data.examples(split, 1000).x)
        assert torch.allclose(restored, raw.examples(split, 1000).x.double(), rtol=1e-6)
    assert data.log_volume == pytest.approx(data.scale.log().sum().item())
    assert data.notes == [
        "data.standardize=true: errors and distances are in standard deviations; densities, samples and images are in"
        " the units of the file"
    ]


@pytest.mark.parametrize("model", [["gaussian", "model.reg_covar=0"], ["pca", "model.num_components=2"], ["kde"]])
def test_a_density_is_that_of_the_files_units_whether_standardized_or_not(model, people):
    """In each log and in an evaluation; a Gaussian's also has its closed form."""
    from built import Likelihood, Parzen

    from pmodel.evaluation.subject import Subject

    found = []
    for standardize in (False, True):
        data = people(standardize=standardize)
        chosen, _ = build("data=table", "data.path=t.csv", f"model={model[0]}", *model[1:])
        torch.manual_seed(0)
        trainer = fit(chosen, data)
        subject = Subject(chosen.eval(), data, "validation")
        logged = {k: v.item() for k, v in trainer.callback_metrics.items() if k.endswith("/nll")}
        # And BIC and AIC, where there are.
        numbers = {n["name"]: n["value"] for n in Likelihood().ask(subject) if isinstance(n, dict)}
        (parzen,) = Parzen(2000).ask(subject)
        found.append({**logged, **numbers, "parzen": parzen["value"]})
        train = data.restore(data.examples("train", 1000).x).numpy()
    for name in found[0].keys() - {"parzen"}:
        precision = {"abs": 1e-6, "rel": 1e-6} if model[0] == "gaussian" else {"abs": 1e-3}
        assert found[1][name] == pytest.approx(found[0][name], **precision), name
    # The bandwidth of one size for all columns is a good one where these are standardized only.
    assert found[1]["parzen"] == pytest.approx(-found[1]["negative_log_density"], abs=0.3)
    if model[0] == "gaussian":
        nll = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * np.cov(train.T, bias=True))[1]
        assert found[1]["train/nll"] == pytest.approx(nll, abs=1e-6)


VAE = ("model=vae", "model.network.encoder.hidden_dims=[32]", "model.network.decoder.hidden_dims=[32]")


def test_a_vae_of_ages_and_incomes_trains_if_they_are_standardized(people):
    found = fitted(people(standardize=True), *VAE, "model.optimizer.lr=3e-3", "model.latent_dim=2", epochs=40)
    # Of independent columns: Σ log σ + 1 + log 2π.
    nll = sum(math.log(deviation) for _, _, deviation in INCOME) + 1 + math.log(2 * math.pi)
    assert found["val/loss"] == pytest.approx(nll, abs=0.6)
    assert found["val/elbo"] == pytest.approx(-found["val/loss"], abs=1e-4)
    assert found["val/reconstruction"] + found["val/kl"] == pytest.approx(found["val/loss"], abs=1e-4)


def test_a_loss_that_is_none_from_the_first_step_names_the_scale_of_the_data(people):
    data = people()
    message = r"at step 1; .*; the training data reach 9\d,\d\d\d.*; data.standardize=true takes each column's mean"
    with pytest.raises(ValueError, match=message):
        fitted(data, *VAE, "model.likelihood_scale=1e-30")


def test_a_constant_column_is_not_standardized(table):
    data = table("a,b\n" + "1,5\n2,5\n" * 10, standardize=True)
    with pytest.raises(ValueError, match=r"^data\.standardize=true: column b of t\.csv is 5 in all training rows, wh"):
        data.setup("fit")


@pytest.mark.parametrize(("delimiter", "point"), [(",", "."), (";", "."), (";", ","), ("\t", ".")])
def test_commas_semicolons_and_tabs_are_found_in_the_file(delimiter, point, table):
    rows = gaussian(30, (0, 1), (10, 1))
    content = text(rows, delimiter.join(["a", "b"]), delimiter).replace(".", point)
    data = table(content)
    assert np.allclose(all_rows(data), rows[rows[:, 0].argsort()], rtol=1e-6)
    assert data.notes == ["data.path=t.csv: decimal commas are read as points"] * (point == ",")


FLOWERS = "w,h,kind\n" + "".join(f"{i},{i % 5}.5,{'rose' if i % 3 else 'iris'}\n" for i in range(30))


def test_a_column_of_texts_becomes_labels(table):
    data = table(FLOWERS, label_column="kind")
    assert (data.class_names, data.num_classes, data.column_names) == (("iris", "rose"), 2, ("w", "h"))
    x, label = data.examples("train", 30)
    assert torch.equal(label, (x[:, 0] % 3 != 0).long())
    assert table(FLOWERS, label_column=3).class_names == ("iris", "rose")
    _, built = build("data=table", "data.path=t.csv", "data.label_column=kind")
    assert (built.shape, built._expected_classes) == ((2,), 2)


def test_numbers_are_labels_in_their_order_and_missing_ones_are_none(table):
    data = table("a,y\n" + "".join(f"{i},{['10', '9', '2.0', '?'][i % 4]}\n" for i in range(20)), label_column="y")
    assert data.class_names == ("2", "9", "10")
    x, label = data.examples("train", 20)
    assert label.tolist() == [{0: 2, 1: 1, 2: 0, 3: -1}[int(value) % 4] for value in x[:, 0]]
    assert data.notes == ["data.label_column=y: 5 of 20 rows have no label"]


def test_columns_are_chosen_by_name_and_by_number(table):
    content = "a,b,c\n" + "".join(f"{i},{10 * i},{100 * i}\n" for i in range(1, 21))
    data = table(content, columns=["c", 1])
    assert all_rows(data)[0].tolist() == [100, 1]
    assert (data.column_names, data.notes) == (("c", "a"), ["data.columns=[c,1]: column b left out"])
    # A name that is a number comes before a number.
    assert table("0,1\n" + "5,6\n" * 3, columns=[1]).layout.chosen == (1,)


@pytest.mark.parametrize(
    ("header", "index"),
    [
        (",a,b", range(20)),
        ("Unnamed: 0,a,b", range(20)),
        ('"","a","b"', range(1, 21)),
        (",a,b", [7 * i % 20 for i in range(20)]),
        (",0,1", range(20)),
    ],
)
def test_an_index_is_left_out(header, index, table):
    content = header + "\n" + "".join(f"{i},{i + 0.5},2\n" for i in index)
    data = table(content)
    assert data.layout.chosen == (1, 2)
    assert data.layout.notes[-1] == ("data.path=t.csv: column 1 has no name and numbers the rows: left out")
    if header != ",0,1":
        assert table(content, columns=[1, 2, 3]).layout.chosen == (0, 1, 2)


def test_a_column_without_a_name_that_numbers_nothing_is_kept(table):
    assert table(",a\n" + "1,2\n1,3\n2,4\n").layout.chosen == (0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n\n3,four\n5,6\n", "line 4: 'four' in column b: expected a number…"),
        (
            "1.5,2\n3,\n5,6\n",
            "line 2: '' in column 2: expected a number that is finite in float32; fill it in, or leave the row or"
            " column out",
        ),
        ("1.5,2\n3,NA\n5,6\n", "line 2: 'NA' in column 2: expected a number…"),
        ("a,b\n1,2\n3,nan\n5,6\n", "line 3: 'nan' in column b: expected a number…"),
        ("a,b\n?,2\n3,7\n5,6\n", "line 2: '?' in column a: expected a number…"),
        ("a,b\n1,2\n3,inf\n5,6\n", "line 3: 'inf' in column b: expected a number…"),
        ("a,b\n1,2\n3,1e39\n5,6\n", "line 3: '1e39' in column b: expected a number that is finite in float32…"),
        ("1,x\n3,4\n5,6\n", "line 1: 'x' in column 2: expected a number…"),
        ("a,b\n1,2\n3\n5,6\n", "line 3 has 1 column, expected 2 as in line 1"),
        ("", "it has no rows of numbers"),
        ("a,b\n", "it has no rows of numbers"),
        ("a,b\n1,2\n3,4\n", "2 rows, expected at least 3, one for each split"),
        ("a\tb\n1,5\t2\n3\t4\n", "line 2: '1,5' in column a: expected a number…"),
        ("a;b\n1,5;2.5\n3;4\n", "line 2: '2.5' in column b has a point, and other numbers have a decimal comma…"),
        ("a b\n1 2\n3 4\n5 6\n", "column a b holds texts, such as '1 2': …"),
        (FLOWERS, "column kind holds texts, such as 'iris': data.label_column=kind takes it for labels, data.colu…"),
    ],
)
def test_what_is_no_table_is_said_with_its_line_and_column(content, message, table, refusal):
    said = refusal(lambda: table(content).setup("fit"))
    assert said.startswith("data.path=t.csv: " + message.rstrip("…")), said
    assert message.endswith("…") or said == "data.path=t.csv: " + message


@pytest.mark.parametrize(
    ("columns", "label", "message"),
    [
        (["w", "rim"], None, "data.columns=[w,rim]: there is no column rim in t.csv; its columns are w, h, kind"),
        (["w", 1], None, "data.columns=[w,1]: expected each column once"),
        (["w", "kind"], "kind", "data.columns=[w,kind]: expected others than data.label_column=kind"),
        ([4], None, "data.columns=[4]: there is no column 4 in t.csv; its columns are w, h, kind"),
        (["h"], "w", "data.label_column=w: expected classes of several rows, and each of 30 rows has its own"),
    ],
)
def test_wrong_columns_are_named(columns, label, message, table, refusal):
    assert refusal(lambda: table(FLOWERS, columns=columns, label_column=label).setup("fit")) == message


def test_columns_of_the_same_name_need_a_number(table, refusal):
    content = "a,a\n" + "1,2\n3,4\n5,6\n"
    message = "data.columns=[a]: columns 1 and 2 are both called a; type a number"
    assert refusal(lambda: table(content, columns=["a"])) == message
    assert table(content, columns=[2]).layout.chosen == (1,)


def test_missing_and_unreadable_files_are_one_line(tmp_path, refusal):
    def load():
        source("table", path=path, shape=[2], num_classes=None).setup("fit")

    path = tmp_path / "none.csv"
    assert refusal(load).startswith(f"data.path={path}: can't be read as CSV: [Errno 2] No such file")
    path.write_bytes(b"\xff\xfe\x00\x80")
    assert refusal(load).startswith(f"data.path={path}: can't be read as CSV: ")


def test_another_width_names_the_shape(table, refusal):
    data = table("1.5,2,3\n" * 3, shape=[2])
    assert refusal(lambda: data.setup("fit")) == "data.shape=[2]: expected [3], the columns of t.csv"


def test_figures_are_drawn_in_the_units_of_the_file_with_its_names(people, monkeypatch):
    from built import ClusterMap, DensityFigure, PrincipalComponentsFigure, SampleGrid

    from pmodel.figures.figure import Scene
    from pmodel.plots import plots

    drawn = []

    def note(figure):
        drawn.append([(a.get_xlabel(), a.get_ylabel(), *a.get_xlim(), *a.get_ylim()) for a in figure.axes])
        return np.zeros((2, 2, 3), np.uint8)

    for module in ("clusters", "densities", "plots"):
        monkeypatch.setattr(f"pmodel.plots.{module}.render", note)
    assert plots.render is note
    data = people(standardize=True)
    data.setup("fit")
    gaussian, pca = (
        build("data=table", "data.path=t.csv", f"model={name}", *more)[0]
        for name, *more in (["gmm", "model.num_components=2"], ["pca", "model.num_components=2"])
    )
    for model in (gaussian, pca):
        fit(model, data)
    scene = Scene(data, 1)
    for figure in (DensityFigure(), ClusterMap(), SampleGrid()):
        figure.draw(scene, gaussian)
    PrincipalComponentsFigure().draw(scene, pca)
    assert len(drawn) == 4
    for axes in drawn:
        x_name, y_name, left, right, low, high = axes[0]
        assert (x_name, y_name) == ("age", "income")
        assert -20 < left < 25 < 55 < right < 120
        assert -30_000 < low < 25_000 < 75_000 < high < 150_000


def test_an_opened_run_draws_in_the_units_of_its_file_whatever_the_file_is_now(people, tmp_path, train):
    """Also where the file is gone: the checkpoint keeps the units."""
    from pmodel import open_run

    units = people(standardize=True).units
    typed = ["data=table", "data.path=t.csv", "data.standardize=true", "hydra.run.dir=run"]
    assert train("model=gaussian", *typed, "callbacks=minimal", "logger=csv").code == 0
    Path("t.csv").unlink()
    run = open_run("run")
    drawn = run.data.restore(run.model.sample(10_000, generator=torch.Generator().manual_seed(0)))
    assert run.data.units == units
    for j, (_, mean, deviation) in enumerate(INCOME):
        assert drawn[:, j].mean().item() == pytest.approx(mean, abs=deviation / 5)
        assert drawn[:, j].std().item() == pytest.approx(deviation, rel=0.2)
