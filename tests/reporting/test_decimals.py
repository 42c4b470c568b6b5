"""How many digits a number is written with."""

import math

import pytest

from pmodel.reporting.decimals import format_value, with_error
from pmodel.reporting.summary import numbers_table
from pmodel.reporting.texts import bits_text, error_text, label_of, spread_text, value_text

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "error", "texts"),
    [
        (0.01096, 0.0003, ("0.01096", "0.00030")),
        (80.27, 0.742, ("80.27", "0.74")),
        (1234.4, 12.3, ("1,234", "12")),
        (1234.4, 123.4, ("1,230", "120")),
        (-87.5249, 0.2431, ("-87.52", "0.24")),
        (0.011485018, 4.4858e-05, ("0.011485", "0.000045")),
        (5, 0.0996, ("5.00", "0.10")),  # the error is rounded before its digits are counted
        (5, 0.0964, ("5.000", "0.096")),
        (9.996, 0.0999, ("10.00", "0.10")),
        (2.0, 1.0, ("2.0", "1.0")),
        # An error as large as its value, or larger.
        (0.003, 0.12, ("0.00", "0.12")),
        (-0.003, 0.12, ("0.00", "0.12")),
        (-0.7, 0.64, ("-0.70", "0.64")),
        (5, 1234, ("0", "1,200")),
        (0, 0.5, ("0.00", "0.50")),
        # No error that was measured.
        (3.532, 0.0, ("3.532", "0")),
        (0, 0, ("0", "0")),
        (80.27, 1e-12, ("80.27", "0")),
        # No error.
        (80.274, None, ("80.27", "")),
        (80.274, nan, ("80.27", "")),
        (80.274, inf, ("80.27", "")),
        # No value.
        (nan, 1.0, ("nan", "")),
        (inf, 1.0, ("inf", "")),
        (-inf, inf, ("-inf", "")),
        # Huge and tiny ones.
        (999_999.4, 3.21, ("999,999.4", "3.2")),
        (1e20, 1e18, ("1.000e+20", "1.000e+18")),
        (-1.2e-9, 3e-10, ("-1.200e-09", "3.000e-10")),
        (0, 3e-10, ("0", "3.000e-10")),
    ],
)
def test_an_error_has_two_significant_digits_and_its_value_ends_where_it_does(value, error, texts):
    assert with_error(value, error) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.1, "0.1000"), (5.5, "5.500"), (-86.254, "-86.25"), (123.456, "123.5"), (0.00012344, "0.0001234")),
        *((0.99999, "1.000"), (999.96, "1,000"), (9999.6, "10,000"), (12345.678, "12,346")),
        *((3.0, "3"), (1234.0, "1,234"), (0.0, "0"), (-0.0, "0")),
        *((1.234e-7, "1.234e-07"), (1e16, "1.000e+16"), (nan, "nan"), (-inf, "-inf")),
    ],
)
def test_a_value_without_an_error_has_four_significant_digits(value, text):
    assert format_value(value) == text


def test_numbers_are_written_alike_in_every_table():
    number = {
        "name": "ari",
        "label": "adjusted Rand index",
        "value": 80.274,
        "unit": "nats",
        "standard_error": 0.742,
        "bits_per_dim": 1.80953,
    }
    assert (value_text(number), error_text(number), bits_text(number)) == ("80.27", "0.74", "1.810")
    cells = ["adjusted Rand index", "80.27", "± 0.74", "nats", "1.810 bits/dim"]
    number |= {"split": "test", "count": 250}
    assert numbers_table([number]).split("  ") == [*cells, "(250 test examples)"]
    assert numbers_table([number | {"remark": "in words"}]).split("  ") == [*cells, "(in words)"]
    # A file has null for what is no finite number.
    assert (value_text(number | {"value": None}), error_text(number | {"value": None})) == ("not finite", "")
    assert (value_text(number | {"standard_error": None}), error_text(number | {"standard_error": None})) == (
        "80.27",
        "",
    )
    assert bits_text(number | {"value": 0.0, "bits_per_dim": 0.0}) == "0"


def test_a_deviation_over_repetitions_is_no_standard_error():
    assert spread_text([0.52, 0.54], "seeds") == "0.530 (sd 0.014 over 2 seeds)"
    assert spread_text([0.52, 0.54], "") == "0.530 (sd 0.014)"
    assert spread_text([3.0, 3.0, 3.0], "seeds") == "3 (sd 0 over 3 seeds)"
    assert spread_text([0.52], "seeds") == "0.5200"


def test_names_are_words():
    assert label_of({"name": "squared_error_per_pixel"}) == "squared error per pixel"
    assert label_of({"name": "nmi", "label": "normalized mutual information"}) == "normalized mutual information"
