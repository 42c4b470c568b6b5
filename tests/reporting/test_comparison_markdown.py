"""The table as Markdown: every value in its place, names of users as text."""

from evaluated_runs import document

from pmodel.reporting.comparison import comparison_tables, value_text
from pmodel.reporting.comparison_markdown import comparison_markdown


def rows_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def test_each_value_stands_below_its_run_and_the_best_is_bold():
    results = document(["vae", "pixelcnn", "pixelrnn", "kmeans"])
    (table,) = comparison_tables(results)
    head, rule, *rows = rows_of(comparison_markdown(results))
    assert head[1:5] == ["vae", "pixelcnn", "pixelrnn", "kmeans"]
    assert len(rule) == len(head)
    assert len(rows) == len(table.columns)
    for row, column in zip(rows, table.columns, strict=True):
        assert len(row) == len(head)
        assert row[0].startswith(column.name.replace("_", "\\_"))
        for cell, number, best in zip(row[1:5], column.numbers, column.best, strict=True):
            if number is None:
                assert cell.startswith("–<sup>")
            else:
                value = cell.split(" ± ")[0].split(" (")[0]
                assert value == (f"**{value_text(number)}**" if best else value_text(number))


def test_a_label_is_text_and_breaks_no_table():
    results = document(["vae"])
    results["runs"][0]["label"] = "<b>|*x*_y"
    head = comparison_markdown(results).splitlines()[2]
    assert "\\<b\\>\\|\\*x\\*\\_y" in head
