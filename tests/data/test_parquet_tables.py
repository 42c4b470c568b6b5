"""A table in a file of Parquet, against the same table as CSV, and what is refused."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import build, source

from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.data.base import SPLITS
from pmodel.data.table import Table
from pmodel.data.tables import layout

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_of(path: str, **settings: Any) -> Table:
    typed = {"header": "auto", "columns": None, "label_column": None} | settings
    found = layout(path, typed["header"], typed["columns"], typed["label_column"])
    return source("table", path=path, **{"shape": [len(found.chosen)], "num_classes": None} | settings)


def table(of: dict[str, Any], metadata: dict[str, Any] | None = None, **settings: Any) -> Table:
    """Of these columns, written to t.parquet in groups of 7 rows, with pandas' note."""
    written = pa.table(of)
    if metadata is not None:
        written = written.replace_schema_metadata({"pandas": json.dumps(metadata)})
    parquet.write_table(written, "t.parquet", row_group_size=7)
    return data_of("t.parquet", **settings)


def columns(rows: int = 40) -> dict[str, Any]:
    draws = np.random.default_rng(0)
    amounts = [Decimal(int(n)) / 1000 for n in draws.integers(-(10**15), 10**15, rows)]
    return {
        "time": 1.7e9 + draws.standard_normal(rows),
        "count": draws.integers(0, 1000, rows),
        "small": pa.array(draws.integers(0, 255, rows), pa.uint8()),
        "amount": pa.array(amounts, pa.decimal128(20, 3)),
        "kind": pa.array(["rose" if i % 3 else "iris" for i in range(rows)]).dictionary_encode(),
    }


@pytest.mark.parametrize(
    "settings",
    [{"label_column": "kind"}, {"columns": ["amount", 1]}, {"label_column": 5, "standardize": True}],
    ids=str,
)
def test_a_model_sees_what_it_sees_of_the_same_table_as_csv(settings):
    found = columns()
    of_parquet = table(found, **settings)
    rows = zip(*(c.to_pylist() if isinstance(c, pa.Array) else c.tolist() for c in found.values()), strict=True)
    text = "\n".join(",".join(str(v) if isinstance(v, str) else f"{v}" for v in row) for row in rows)
    Path("t.csv").write_text(f"{','.join(found)}\n{text}\n")
    of_csv = data_of("t.csv", **settings)
    assert of_parquet.column_names == of_csv.column_names
    assert of_parquet.class_names == of_csv.class_names
    assert of_parquet.units == of_csv.units
    for split in SPLITS:
        a, b = of_parquet.examples(split, 100), of_csv.examples(split, 100)
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.label, b.label)
    assert [note.replace("parquet", "csv") for note in of_parquet.notes] == of_csv.notes


def test_the_command_line_takes_its_shape_and_its_classes_from_the_file():
    table(columns(), label_column="kind")
    _, data = build("data=table", "data.path=t.parquet", "data.label_column=kind")
    assert (data.shape, data._expected_classes) == ((4,), 2)


def test_true_and_false_are_numbers_and_labels_may_be_missing():
    data = table({"on": [True, False] * 6, "half": pa.array([1.5] * 12, pa.float16()), "y": [1, 2, None] * 4})
    assert data.shape == (3,)
    data = table(
        {"on": [True, False] * 6, "half": pa.array([1.5] * 12, pa.float16()), "y": [1, 2, None] * 4}, label_column="y"
    )
    assert {tuple(row) for split in SPLITS for row in data.examples(split, 99).x.tolist()} == {(1.0, 1.5), (0.0, 1.5)}
    assert data.class_names == ("1", "2")
    assert sum((data.examples(split, 99).label == -1).sum().item() for split in SPLITS) == 4
    data.setup("fit")
    assert data.notes == ["data.label_column=y: 4 of 12 rows have no label"]


@pytest.mark.parametrize("name", ["__index_level_0__", "person"])
def test_the_index_that_pandas_stored_is_left_out(name):
    found = {"a": np.arange(9.0), name: np.arange(9), "b": np.arange(9.0)}
    note = {"index_columns": [name], "columns": []}
    data = table(found, note)
    assert data.column_names == ("a", "b")
    assert data.layout.notes == (f"data.path=t.parquet: column {name} is an index: left out",)
    chosen = data_of("t.parquet", columns=[name, "b"])
    assert chosen.column_names == (name, "b")
    assert chosen.layout.notes == (f"data.columns=[{name},b]: column a left out",)
    ranges = {"index_columns": [{"kind": "range", "name": None, "start": 0, "stop": 9, "step": 1}]}
    assert table({"a": np.arange(9.0)}, ranges).layout.notes == ()


NUMBERS = [float(i) for i in range(20)]
LEFT_OUT = "data.columns=[…] leaves it out"
FILL = "expected a number that is finite in float32; fill it in, or leave the row or column out"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([*NUMBERS[:16], None, *NUMBERS[17:]]), f"row 17: null in column b: {FILL}"),
        (pa.array([*NUMBERS[:3], float("nan"), *NUMBERS[4:]]), f"row 4: nan in column b: {FILL}"),
        (pa.array([*NUMBERS[:19], float("-inf")]), f"row 20: -inf in column b: {FILL}"),
        (pa.array([1e39] * 20), f"row 1: 1e+39 in column b: {FILL}"),
        (pa.nulls(20), f"row 1: null in column b: {FILL}"),
        (
            pa.array([None, *"xyz" * 6, "x"]),
            "column b holds texts, such as 'x': data.label_column=b takes it for labels, " + LEFT_OUT,
        ),
        (pa.array([[1.0]] * 20), f"column b holds list<element: double>: expected numbers; {LEFT_OUT}"),
        (pa.array([{"c": 1}] * 20), f"column b holds struct<c: int64>: expected numbers; {LEFT_OUT}"),
        (pa.array([b"x"] * 20), f"column b holds binary: expected numbers; {LEFT_OUT}"),
        (pa.array([0] * 20, pa.timestamp("us")), f"column b holds timestamp[us]: expected numbers; {LEFT_OUT}"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_number_is_said_with_its_row_and_column(column, message, refusal):
    found = {"a": NUMBERS, "b": column}
    assert refusal(lambda: table(found).setup("fit")) == f"data.path=t.parquet: {message}"
    assert table(found, columns=["a"]).examples("train", 99).x.shape == (16, 1)


def test_wrong_settings_are_one_line(refusal):
    found = {"a": NUMBERS, "b": [[1.0]] * 20}
    assert refusal(lambda: table(found, label_column="b").setup("fit")) == (
        "data.label_column=b: expected texts or numbers, and t.parquet has list<element: double> there"
    )
    assert refusal(lambda: table(found, header=False)) == (
        "data.header=false: expected auto or true; the columns of t.parquet have names"
    )
    assert refusal(lambda: table(found, columns=["c"])) == (
        "data.columns=[c]: there is no column c in t.parquet; its columns are a, b"
    )
    assert refusal(lambda: table({"a": NUMBERS[:0]})) == "data.path=t.parquet: it has no rows of numbers"
    twice = pa.table([NUMBERS, NUMBERS[::-1]], names=["a", "a"])
    parquet.write_table(twice, "t.parquet")
    assert refusal(lambda: data_of("t.parquet", columns=["a"])).endswith("are both called a; type a number")
    assert data_of("t.parquet", columns=[2])._numbers[:, 0].tolist() == NUMBERS[::-1]


def test_a_file_that_is_cut_or_none_is_one_line(folder, refusal):
    table(columns())
    whole = Path("t.parquet").read_bytes()
    for content in (whole[:-9], whole[:4], b"", b"a,b\n1,2\n", whole[:100] + bytes(200) + whole[300:]):
        Path("t.parquet").write_bytes(content)
        said = refusal(lambda: data_of("t.parquet", columns=["time"]).setup("fit"))
        assert said.startswith("data.path=t.parquet: can't be read as Parquet: ")
    said = refusal(lambda: data_of("none.parquet", shape=[1]).setup("fit"))
    assert said.startswith("data.path=none.parquet: can't be read as Parquet: ")


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch):
    table(columns())
    register_resolvers()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    layout.__globals__["_layout"].cache_clear()
    with pytest.raises(ConfigError) as refused:
        check_overrides("train", ["data=table", "data.path=t.parquet", "data.label_column=kind"])
    assert str(refused.value) == (
        "data.path=t.parquet: needs pmodel[parquet], which is not installed: pip install 'pmodel[parquet]'; a .csv file"
        " does without"
    )


def test_the_check_of_the_command_line_imports_no_torch():
    table(columns())
    code = (
        "import sys; from pmodel.commands.command_line import checked_command_line as check;"
        "check('train', ['data=table', 'data.path=t.parquet', 'data.label_column=kind']);"
        "assert 'pyarrow' in sys.modules and not {'torch', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
