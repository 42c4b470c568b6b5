"""The sentence about each model and its numbers in words, for each rule a document that must bring it and one that must
not."""

import pytest
from evaluated_runs import DATA

from pmodel.reporting.comparison import comparison_tables
from pmodel.reporting.facts import Fact, facts
from pmodel.reporting.verdicts import verdict


def number(skill: str, value: float, better: str | None = "lower", **more) -> dict:
    own = {"name": skill, "value": value, "unit": "", "group": "samples", "skill": skill} | more
    return own | ({"better": better} if better else {})


def table_of(*runs: list[dict], references: list[dict] | None = None):
    """Runs with these numbers, labelled a, b, …"""
    entries = [
        {
            "label": chr(97 + i),
            "model": "M",
            "data": DATA,
            "numbers": numbers,
            "missing": [],
            "references": references or [],
        }
        for i, numbers in enumerate(runs)
    ]
    (table,) = comparison_tables({"split": "test", "runs": entries})
    return table


def verdicts(*runs: list[dict], **rest) -> list[str]:
    table = table_of(*runs, **rest)
    return [verdict(table, row) for row in range(len(runs))]


def test_of_three_one_is_best_one_is_weakest_and_one_is_between():
    runs = [[number("sharp", v, "lower"), number("varied", w, "higher")] for v, w in ((1, 1), (2, 2), (3, 3))]
    assert verdicts(*runs) == [
        "It is best at sharp; it is weakest at varied.",
        "It is 2nd of 3 at sharp.",
        "It is best at varied; it is weakest at sharp.",
    ]


def test_of_two_each_is_named_beside_the_other():
    runs = [[number("sharp", 1), number("varied", 1)], [number("sharp", 2), number("varied", 2)], []]
    assert verdicts(*runs)[:2] == ["It is ahead of b at sharp and varied.", "It is behind a at sharp and varied."]
    assert verdicts(*runs)[2] == "There is nothing to hold it against."


def test_what_lies_within_the_standard_error_is_neither_better_nor_worse():
    values = [number("sharp", v, standard_error=1.0) for v in (1.0, 1.5, 9.0)]
    assert verdicts(*([value] for value in values)) == [
        "It is best at sharp.",
        "It is best at sharp.",
        "It is weakest at sharp.",
    ]
    values = [number("sharp", v, standard_error=9.0) for v in (1.0, 1.5, 9.0)]
    assert verdicts(*([value] for value in values)) == ["It is level with the others at sharp."] * 3
    pair = [[values[0], number("varied", v)] for v in (1, 2)]
    assert verdicts(*pair) == ["It is ahead of b at varied.", "It is level with a at sharp; it is behind a at varied."]


@pytest.mark.parametrize(
    "more", [{"caveats": ["it has no bound"]}, {"protocol": {"num_generated": 100}}, {"value": None}]
)
def test_a_number_that_can_not_be_compared_says_nothing(more):
    plain = {"protocol": {"num_generated": 9}}
    runs = [[number("sharp", v, **plain)] for v in (2, 3)] + [[number("sharp", 1, **plain) | more]]
    assert verdicts(*runs)[2] == "There is nothing to hold it against."
    assert verdicts(*runs[:2], [number("sharp", 1, **plain)])[2] == "It is best at sharp."


def test_what_only_one_can_do_is_said_of_it_with_how_it_is_known():
    bound = number("likelihood", 90, kind="bound") | {"name": "bound"}
    runs = [[number("likelihood", 80, kind="exact")], [bound], [number("sharp", 1)]]
    assert verdicts(*runs) == [
        "It alone has exact likelihood.",
        "It alone has bounded likelihood.",
        "It alone has sharp.",
    ]


def test_the_first_number_of_a_skill_counts():
    runs = [[number("sharp", v), number("sharp", -v) | {"name": "other"}] for v in (1, 2, 3)]
    assert verdicts(*runs)[0] == "It is best at sharp."


def test_a_run_that_is_near_to_the_last_has_its_place_named():
    runs = [[number("sharp", v), number("varied", -v)] for v in range(12)]
    assert verdicts(*runs)[10] == "It is 2nd of 12 at varied; it is 11th of 12 at sharp."


def test_alone_it_is_held_against_real_examples():
    own = [number("sharp", 1.0, standard_error=0.2), number("varied", 5, "higher"), number("codes", 1)]
    references = [number("sharp", 0.9, standard_error=0.2), number("varied", 9, "higher")]
    assert verdicts(own, references=references) == [
        "It is as good as real examples at sharp; it is short of real examples at varied."
    ]
    assert verdicts(own) == ["There is nothing to hold it against: evaluate it beside another run."]


@pytest.mark.parametrize(("value", "error", "said"), [(0.76, 0.01, True), (0.58, 0.02, False), (0.2, 0.01, False)])
def test_samples_like_copies_of_the_training_examples_are_said_so(value, error, said):
    own = number("", value, None, ideal=0.5, standard_error=error) | {"name": "nearer_to_training_in_features"}
    (sentence,) = verdicts([own])
    assert sentence.startswith("It draws samples close to copies of training examples.") == said


def test_facts_are_one_number_of_each_group_in_turn_and_then_of_the_cost():
    own = [
        number(
            "likelihood", 80.0, group="likelihood", unit="nats", kind="exact", bits_per_dim=0.16, standard_error=0.8
        ),
        number("likelihood", 90.0, group="likelihood", kind="bound") | {"name": "other"},
        number("sharp", 3.0, unit="distance of features"),
        number("varied", 0.5, "higher", unit="of 1", standard_error=0.014),
        number("codes", 0.9, "higher", unit="of 1", group="codes"),
        {"name": "training_time", "value": 3.0, "unit": "seconds", "group": "cost", "better": "lower"},
    ]
    table = table_of(own, references=[number("varied", 0.75, "higher", unit="of 1")])
    assert facts(table, 0) == [
        Fact("0.1600", "0.0016", "bits per dimension", "exact likelihood", "lower is better", "likelihood"),
        Fact("3", "", "distance of features", "sharp", "lower is better", "sharp"),
        Fact("90", "", "%", "codes", "higher is better", "codes"),
    ]
    few = facts(table_of(own[3:4] + own[5:], references=[number("varied", 0.75, "higher", unit="of 1")]), 0)
    assert few == [
        Fact("50.0", "1.4", "%", "varied", "higher is better; real examples: 75 %", "varied"),
        Fact("3", "", "seconds", "training time", "lower is better", "training time"),
    ]


def test_no_number_with_a_caveat_introduces_a_model():
    caveat = number("sharp", 3.0, caveats=["it has no bound"])
    assert facts(table_of([caveat, number("varied", 1.0)]), 0)[0].words == "varied"
    assert facts(table_of([caveat]), 0) == []
