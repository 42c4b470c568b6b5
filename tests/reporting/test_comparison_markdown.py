"""The table as Markdown: every value in its place, names of users as text."""

from evaluated_runs import document

from pmodel.reporting.comparison import MARKED, comparison_tables
from pmodel.reporting.comparison_markdown import comparison_markdown
from pmodel.reporting.comparison_text import comparison_text
from pmodel.reporting.texts import value_text


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
        assert row[0].startswith(column.label)
        for cell, number, best in zip(row[1:5], column.numbers, column.best, strict=True):
            if number is None:
                assert cell.startswith("–<sup>")
            else:
                value = cell.split(" ± ")[0].split(" (")[0]
                assert value == (f"**{value_text(number)}**" if best else value_text(number))


def test_the_meaning_of_plus_and_minus_is_said_once_where_there_is_one():
    assert comparison_markdown(document(["vae"])).count("± is the standard error") == 1
    results = document(["vae"])
    for number in results["runs"][0]["numbers"]:
        number.pop("standard_error", None)
    assert "±" not in comparison_markdown(results)
    assert "±" not in comparison_text(results, 100)


def test_what_stands_beside_a_main_number_says_so():
    results = document(["vae", "pixelcnn"])
    bound = next(number for number in results["runs"][0]["numbers"] if number.get("kind") == "bound")
    bound["remark"] = "in half a line"
    line = f"{bound['label']}: in half a line"
    assert f"- {line}\n" in comparison_markdown(results)
    assert f"\n{line}\n" in comparison_text(results, 100)
    assert "(in half a line)" in comparison_text(results | {"runs": results["runs"][:1]}, 100)


def test_a_label_is_text_and_breaks_no_table():
    results = document(["vae"])
    results["runs"][0]["label"] = "<b>|*x*_y"
    head = comparison_markdown(results).splitlines()[2]
    assert "\\<b\\>\\|\\*x\\*\\_y" in head


def test_examples_conditions_reasons_and_runs_that_failed_stand_around_the_table():
    results = document(["vae", "pixelcnn"])
    results["failed"] = [{"run": "logs/a_run", "label": "dcgan", "reason": "no checkpoint"}]
    results["runs"][0]["status"] = "stopped"
    text = comparison_markdown(results)
    assert text.startswith("**10,000 test examples of mnist**\n")
    assert "| vae (stopped) | pixelcnn |" in text
    assert "- samples: 10,000\n" in text
    assert "- features: labels, 91d0c8a2b7e4\n" in text
    assert f"bold type marks {MARKED}" in text
    assert "- the data are no known mixture: modes covered\n" in text
    assert text.endswith("Not evaluated:\n\n- dcgan (logs/a\\_run): no checkpoint\n")
