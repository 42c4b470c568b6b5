"""Which runs stand side by side, which is best, and why a number is missing; in the terminal too."""

import copy
import json
import math
import re
from typing import get_args

import numpy as np
import pytest
from evaluated_runs import DATA, EXACT, MODELS, SAMPLE, document

from pmodel.evaluation import declared
from pmodel.evaluation.findings import Metric
from pmodel.reporting.comparison import GROUPS, MARKED, REFERENCE, Column, Table, comparison_tables, not_ranked
from pmodel.reporting.comparison_markdown import comparison_markdown
from pmodel.reporting.comparison_text import comparison_text, superscript
from pmodel.reporting.conditions import conditions, counted_elsewhere
from pmodel.reporting.decimals import with_error
from pmodel.reporting.texts import in_words


def results_of(*runs: list[dict], **data) -> dict:
    """A document of runs with these numbers, labelled a, b, …"""
    return {
        "split": "test",
        "runs": [
            {"label": chr(97 + i), "model": "M", "data": data or DATA, "numbers": numbers, "missing": []}
            for i, numbers in enumerate(runs)
        ],
    }


def score(value: float | None, **more) -> dict:
    return {"name": "score", "value": value, "unit": "", "group": "samples", "better": "lower", **more}


def column_of(table: Table, name: str) -> Column:
    (column,) = [column for column in table.columns if column.label == name]
    return column


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_best_are_those_that_no_other_beats_by_a_slow_loop(better):
    generator = np.random.default_rng(0)
    for _ in range(200):
        # Few values, so that ties occur; some that are none.
        values = [
            None if v == 5 else math.nan if v == 6 else float(v)
            for v in generator.integers(0, 7, generator.integers(1, 6))
        ]
        (table,) = comparison_tables(results_of(*([score(v, better=better)] for v in values)))
        finite = [v for v in values if v is not None and not math.isnan(v)]
        expected = []
        for v in values:
            beaten = any(o < v if better == "lower" else o > v for o in finite) if v in finite else True
            expected.append(not beaten and len(set(finite)) > 1)
        assert table.columns[0].best == expected


def test_what_is_within_the_standard_error_of_the_best_is_marked_too_by_a_slow_loop():
    generator = np.random.default_rng(1)
    seen = set()
    for better in ("lower", "higher"):
        for _ in range(200):
            values = generator.normal(size=4).tolist()
            errors = [None if e > 0.8 else e for e in generator.uniform(0, 1, 4).tolist()]
            runs = [
                [score(v, better=better, **({} if e is None else {"standard_error": e}))]
                for v, e in zip(values, errors, strict=True)
            ]
            first = values.index(min(values) if better == "lower" else max(values))
            expected = []
            for i in range(4):
                known = errors[i] is not None and errors[first] is not None
                near = known and (values[i] - values[first]) ** 2 < errors[i] ** 2 + errors[first] ** 2
                expected.append(i == first or near)
            assert comparison_tables(results_of(*runs))[0].columns[0].best == expected
            seen.add(sum(expected))
    assert seen == {1, 2, 3, 4}


def test_a_number_with_a_caveat_is_never_the_best_and_says_why_below():
    values = [score(1.0, caveats=["it has no bound", "it ended early"]), score(2.0), score(3.0)]
    results = results_of(*([value] for value in values))
    (table,) = comparison_tables(results)
    assert table.columns[0].best == [False, True, False]
    for caveat in ("it has no bound", "it ended early"):
        assert f"not ranked: {caveat}: score (a)" in comparison_text(results, 80)
        assert f"- not ranked: {caveat}: score (a)" in comparison_markdown(results)
    (table,) = comparison_tables(results_of(*([value | {"caveats": ["it has no bound"]}] for value in values)))
    assert not any(table.columns[0].best)
    assert not_ranked(table.columns) == ["it has no bound: score (a, b, c)"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        # (value, standard error) of distances that are at least 0
        ([(-25.89, 5), (-23.11, 5)], [False, False]),  # neither differs from 0: nothing to rank
        ([(-25.89, 5), (-23.11, 5), (40, 6)], [True, True, False]),
        ([(-25.89, None), (-1, None), (2, None)], [True, True, False]),
        ([(4, 5), (-9, 1), (3, 1)], [True, True, False]),  # its error reaches 0
        ([(4, 3), (6, 4), (30, 1)], [True, True, False]),  # none reaches 0: within one error, as ever
        ([(2, 1.9), (-3, 1), (2, 2)], [True, True, True]),
        ([(0, 0), (1, 0.5)], [True, False]),
    ],
)
def test_estimates_that_do_not_differ_from_the_least_that_is_possible_are_never_ranked(numbers, expected):
    runs = [[score(v, least=0.0, **({} if e is None else {"standard_error": e}))] for v, e in numbers]
    assert comparison_tables(results_of(*runs))[0].columns[0].best == expected


def test_nothing_is_best_of_one_run_without_a_direction_of_equal_values_or_of_costs():
    undirected = {key: value for key, value in score(1.0).items() if key != "better"}
    for results in (
        results_of([score(1.0)]),
        results_of([score(1.0)], []),
        results_of([undirected], [{**undirected, "value": 2.0}]),
        results_of([score(8.0)], [score(8.0)], []),
        results_of([score(1.0, group="cost")], [score(2.0, group="cost")]),
        results_of([{**undirected, "ideal": 0.5}], [{**undirected, "ideal": 0.5, "value": 0.5}]),
    ):
        assert not any(comparison_tables(results)[0].columns[0].best)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"count": 100}, {"count": 99}, "count 100 (a), 99 (b)"),
        ({"split": "test"}, {"split": "validation"}, "split test (a), validation (b)"),
        ({"protocol": {"hash": "x"}}, {"protocol": {"hash": "y"}}, "hash x (a), y (b)"),
        ({"protocol": {"net": {"seed": 0}}}, {"protocol": {"net": {"seed": None}}}, "net.seed 0 (a), null (b)"),
        ({"protocol": {"size": [1, 2]}}, {"protocol": {"size": [1, 3]}}, "size [1, 2] (a), [1, 3] (b)"),
    ],
)
def test_numbers_that_were_measured_differently_are_not_held_against_each_other(first, second, said):
    (table,) = comparison_tables(results_of([score(1.0, **first)], [score(2.0, **second)]))
    assert table.columns[0].best == [False, False]
    assert table.columns[0].difference == said
    assert said in comparison_text(results_of([score(1.0, **first)], [score(2.0, **second)]), 120)
    (table,) = comparison_tables(results_of([score(1.0, **first)], [score(2.0, **first)]))
    assert table.columns[0].best == [True, False]
    assert table.columns[0].difference == ""


def test_what_is_a_models_own_or_only_one_protocol_names_does_not_matter():
    first, second = {"protocol": {"sigma": 0.1, "n": 5}}, {"protocol": {"sigma": 0.2, "n": 5, "K": 3}}
    (table,) = comparison_tables(results_of([score(1.0, **first)], [score(2.0, **second)]))
    assert table.columns[0].best == [True, False]


def test_runs_on_different_data_share_no_table_and_the_heading_says_what_differs():
    results = document()
    for run in results["runs"][::2]:
        run["data"] = {**DATA, "binarize": "dynamic"}
    first, second = comparison_tables(results)
    assert first.labels == list(MODELS)[::2]
    assert second.labels == list(MODELS)[1::2]
    assert first.heading == "mnist, binarize: dynamic"
    assert second.heading == "mnist, binarize: static"
    text = comparison_text(results, 200)
    assert text.index(first.heading) < text.index("pixelrnn") < text.index(second.heading) < text.index("pixelcnn")
    # Each is the best of its own table, where all of one were the best of none.
    assert column_of(first, "log-likelihood").best.count(True) == 1
    assert len(comparison_tables(document())) == 1
    assert comparison_tables(document())[0].heading == "mnist"


POINTS = {"data": "points", "shape": [2], "num_levels": None, "split_sizes": {"train": 100, "test": 20}, "path": None}
LIMITED = {**DATA, "limit": 2000, "split_sizes": {"train": 2000, "test": 2000}}
LEVELS = {**DATA, "binarize": "none", "num_levels": 256}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # The titles say it all.
        ([DATA, {**POINTS, "name": "ring"}, {**POINTS, "name": "line"}], ["mnist", "points ring", "points line"]),
        # Sizes and levels follow; what one of them has not set is no word.
        ([DATA, LIMITED], ["mnist", "mnist, limit: 2000"]),
        ([DATA, LEVELS], ["mnist, binarize: static", "mnist, binarize: none"]),
        ([DATA, {**DATA, "num_levels": 3}], ["mnist, num_levels: 2", "mnist, num_levels: 3"]),
        # Those of one title are told from each other, and from no others.
        ([DATA, POINTS, LIMITED], ["mnist", "points", "mnist, limit: 2000"]),
    ],
)
def test_headings_say_what_differs_and_not_what_follows_from_it(data, expected):
    results = results_of(*([score(1.0)] for _ in data))
    for run, own in zip(results["runs"], data, strict=True):
        run["data"] = own
    headings = [re.sub(r", split_sizes\.\w+: \d+", "", table.heading) for table in comparison_tables(results)]
    assert headings == expected
    if len(data) == 2:
        assert "split_sizes" not in comparison_text(results, 300)


def test_columns_are_in_the_order_of_groups_and_exact_values_before_bounds_before_estimates():
    results = document()
    for run in results["runs"]:
        run["numbers"].reverse()
    (table,) = comparison_tables(results)
    places = [(GROUPS.index(c.group), {"exact": 0, "bound": 1, "estimate": 2, None: 3}[c.kind]) for c in table.columns]
    assert places == sorted(places)
    assert [column.kind for column in table.columns[:4]] == ["exact", "bound", "bound", "estimate"]


def test_each_name_is_declared_once_so_exact_values_and_bounds_never_share_a_column():
    assert declared()  # imports them all
    metrics = [metric for metric in Metric.__subclasses__() if metric.__module__.startswith("pmodel.")]
    names = [quantity.name for metric in metrics for quantity in metric.quantities]
    assert len(set(names)) == len(names)


def test_the_reference_is_never_best_and_does_not_keep_a_run_from_it():
    (table,) = comparison_tables(document())
    column = column_of(table, "Fréchet distance")
    assert column.reference["value"] < min(SAMPLE.values())
    assert [label for label, best in zip(table.labels, column.best, strict=True) if best] == ["pixelrnn"]
    row = next(line for line in comparison_text(document(), 200).splitlines() if "2.874*" in line)
    assert row.endswith("0.4120")


def test_each_hole_leads_to_the_reason_that_its_run_gives_and_equal_reasons_are_one_note():
    results = document()
    (table,) = comparison_tables(results)
    assert len(table.footnotes) == 6
    for column in table.columns:
        for run, number, note in zip(results["runs"], column.numbers, column.notes, strict=True):
            assert (number is None) == (note is not None)
            if number is None:
                reason, users = list(table.footnotes.items())[note]
                given = {missing["name"]: missing["reason"] for missing in run["missing"]}
                assert reason == given[column.name]
                assert users.count(run["label"]) == 1
    assert table.absent == ["the data are no known mixture: modes covered"]


def test_what_is_missing_for_one_reason_of_the_same_runs_is_one_line():
    results = results_of([score(1.0)], [score(2.0)])
    lacks = [("nmi", "the model has no assign"), ("loss", "no loss"), ("ari", "the model has no assign")]
    for run, reasons in zip(results["runs"], (lacks, lacks[:2]), strict=True):
        run["missing"] = [
            {"name": name, "label": f"the {name}", "group": "clusters", "reason": reason} for name, reason in reasons
        ]
    text = comparison_text(results, 100)
    assert text.endswith(
        "\nnot measured:\n  can't be asked for clusters: the nmi\n  no loss: the loss"
        "\n  can't be asked for clusters (a): the ari"
    )
    results["runs"][1]["missing"] = results["runs"][0]["missing"]
    text = comparison_text(results, 100)
    assert text.endswith("\nnot measured:\n  can't be asked for clusters: the nmi, the ari\n  no loss: the loss")


def test_a_hole_that_nobody_explains_says_so():
    (table,) = comparison_tables(results_of([score(1.0)], []))
    assert table.footnotes == {"not measured": ["b"]}


def cells_of(text: str) -> dict[tuple[str, str], str]:
    """Reads a terminal's table back by where the labels end: (run, the line's name) → cell; the first of a name."""
    found: dict[tuple[str, str], str] = {}
    for block in text.split("\n\n"):
        head, _, rest = block.partition("\nlikelihood, exact")
        ends = [(match.group(), match.end()) for match in re.finditer(r"\S+", head.split("\n")[-1])]
        for line in rest.split("\n"):
            start = 30
            for label, end in ends:
                found.setdefault((label, line[:30].strip()), line[start : end + 1].strip())
                start = end + 1
    return found


@pytest.mark.parametrize("width", [48, 80, 300])
def test_the_terminals_table_has_each_value_below_its_run_whatever_the_width(width):
    results = document()
    text = comparison_text(results, width)
    assert max(map(len, text.splitlines())) <= width
    cells = cells_of(text)
    for label in MODELS:
        value = cells[label, "log-likelihood, nats ↑"]
        expected = with_error(EXACT[label], 0.2431)[0] if label in EXACT else "–¹"
        assert value.rstrip("*") == expected
        assert value.endswith("*") == (label == "pixelrnn")
        bits = -EXACT[label] / 784 / math.log(2) if label in EXACT else None
        assert cells[label, "bits/dim"] == ("" if bits is None else f"{bits:.5f}")  # ± 0.00045
    blocks = [block for block in text.split("\n\n") if "likelihood, exact" in block]
    assert (len(blocks) == 1) == (width == 300)
    assert [
        label for block in blocks for label in re.findall(r"\S+", block.split("likelihood")[0]) if label in MODELS
    ] == list(MODELS)
    for i, reason in enumerate(comparison_tables(results)[0].footnotes):
        assert f"{superscript(i)} {in_words(reason)}" in " ".join(text.split())


def test_a_single_run_is_a_list_below_headings_with_the_reference_beside_its_numbers():
    results = document(["vae"])
    few = next(number for number in results["runs"][0]["numbers"] if number["name"] == "recall")
    few["count"] = 500
    text = comparison_text(results, 100)
    lines = text.splitlines()
    assert lines[0] == "vae: 10,000 test examples of mnist"
    (line,) = [line for line in lines if line.startswith("  Fréchet distance")]
    assert re.split(r"\s{2,}", line.strip()) == [
        "Fréchet distance ↓",
        "9.270",
        "± 0.031",
        "distance of features",
        "reference 0.4120",
    ]
    # Only what was measured on others says on how many.
    assert [line.split("↑")[0].strip() for line in lines if "examples)" in line] == ["recall"]
    assert "(500 test examples)" in text
    headings = [line for line in lines[1 : lines.index("samples: 10,000")] if line and not line.startswith(" ")]
    assert headings == [
        *("likelihood, bound", "likelihood, estimate"),
        *("samples", "memorization", "reconstruction", "codes", "cost"),
    ]
    assert lines[lines.index("likelihood, bound") + 1].startswith("  elbo (K = 1) ↑")
    assert f"{REFERENCE} in place of samples" in text
    assert "\n  can't be asked for an exact likelihood: log-likelihood" in text
    assert "*" not in text


def test_what_all_numbers_share_is_said_once_with_what_differs_from_it():
    (table,) = comparison_tables(document())
    assert table.examples == "10,000 test examples"
    assert conditions(table) == ["samples: 10,000 (kernel distance: 1,000)", "features: labels, 91d0c8a2b7e4"]
    assert counted_elsewhere(table) == {}
    text = comparison_text(document(), 200)
    assert text.startswith("10,000 test examples of mnist\n")
    assert text.count("features: labels, 91d0c8a2b7e4") == 1
    assert f"* marks {MARKED}" in text
    made = {"num_generated": 50, "num_real": 20, "feature_network": "net", "feature_hash": "ff"}
    numbers = [
        score(1.0, split="test", count=20, protocol=made),
        score(1.0, split="test", count=20, protocol=made) | {"name": "other"},
        score(1.0, split="drawn", count=70) | {"name": "modes"},
        score(1.0, split="test", count=20, protocol={"num_generated": 9}, group="memorization"),
        score(1.0, split="test", count=10) | {"name": "few"},
    ]
    (table,) = comparison_tables(results_of(numbers, **DATA | {"split_sizes": {"test": 20}}))
    assert conditions(table) == [
        "samples: 50 (modes: 70; memorization: 9)",
        "real examples: 20",
        "features: net, ff",
    ]
    assert table.examples == "20 test examples"
    assert counted_elsewhere(table) == {"few": "10 test examples"}


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("vae trainer.max_epochs=-1", ["vae trainer.", "max_epochs=-1"]),
        ("vae model.optimizer.lr=0.0001", ["vae model.", "optimizer.", "lr=0.0001"]),
        ("gan model.weight_penalty=12345678.25", ["gan model.", "weight_penalty=12345678.25"]),
        ("vae (stopped)", ["vae (stopped)"]),
        ("pixelcnn_on_fashion_mnist", ["pixelcnn_on_fashion_mnist"]),
    ],
)
def test_labels_break_at_spaces_and_dots_and_in_no_word_or_number(label, lines):
    results = results_of([score(1.0)], [score(2.0)])
    results["runs"][0]["label"] = label
    head = comparison_text(results, 120).split("\n\n", 2)[1].split("samples")[0].splitlines()
    seen = [re.split(r"\s{2,}", line.strip())[0] for line in head]
    assert seen == lines


def test_where_numbers_are_best_stands_beside_their_names():
    between = {"name": "between", "value": 0.4, "unit": "", "group": "memorization", "ideal": 0.5}
    neither = {"name": "neither", "value": 0.4, "unit": "", "group": "memorization"}
    numbers = [score(1.0), score(1.0, better="higher") | {"name": "more"}, between, neither]
    for results in (results_of(numbers), results_of(numbers, numbers)):
        lines = comparison_text(results, 100).splitlines()
        for name in ("score ↓", "more ↑", "between (0.5 is ideal)", "neither"):
            assert len([line for line in lines if re.match(rf"  {re.escape(name)} +[\d.]+( |$)", line)]) == 1


def test_runs_that_did_not_end_or_were_not_evaluated_are_named():
    results = results_of([score(1.0)], [score(2.0)], [score(3.0)])
    for run, status in zip(results["runs"], ("stopped", "done", None), strict=True):
        run["status"] = status
    results["failed"] = [{"run": "logs/x", "label": "gan", "reason": "the model was not fitted yet"}]
    text = comparison_text(results, 100)
    assert re.search(r"a \(stopped\) +b +c\n", text)
    assert text.endswith("\n\nnot evaluated:\n  gan (logs/x): the model was not fitted yet")
    results["runs"] = results["runs"][:1]
    assert comparison_text(results, 100).startswith("a (stopped): 10,000 test examples of mnist\n")


def test_values_that_are_not_finite_are_said_to_be():
    text = comparison_text(results_of([score(None)], [score(math.inf)], [score(1.5)]), 80)
    assert text.count("not finite") == 2
    assert "1.5*" not in text


def test_a_document_from_a_file_is_read_as_in_memory_and_stays_as_it_was():
    results = document()
    before = copy.deepcopy(results)
    text = comparison_text(results, 100)
    assert results == before
    assert comparison_text(json.loads(json.dumps(results)), 100) == text


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("the model has no assign", "can't be asked for clusters"),
        ("the model has no log_prob, only a bound", "can't be asked for an exact likelihood, only a bound"),
        ("the model has no dreams", "the model has no dreams"),
        ("the images are too small", "the images are too small"),
    ],
)
def test_a_method_that_a_model_lacks_is_named_by_what_one_can_not_ask(reason, words):
    assert in_words(reason) == words


def test_every_question_of_a_number_or_a_figure_has_words():
    """A user's own question is named by its method."""
    asked = {q.question for q in declared().values() if q.question is not None}
    firsts = [(get_args(question) or (question,))[0] for question in asked]
    methods = {next(name for name in vars(first) if not name.startswith("_")) for first in firsts}
    known = {name for name in methods if in_words(f"the model has no {name}") != f"the model has no {name}"}
    # Of the first its metric says more; the second is asked together with a bound.
    assert methods - known == {"regularized_nats", "importance_bound"}
    assert len(known) > 6
