"""How many digits a number is written with: its error decides, where it has one.

Light to import: the script that writes docs/results.md uses it too.
"""

import math

# Of a value without an error.
DIGITS = 4
# An error below this share of its value is the rounding of float32, and no error that was measured.
RESOLUTION = 2.0**-24
# Numbers from SMALL up are written without a power of ten, up to LARGE.
SMALL, LARGE = 1e-6, 1e15


def format_value(value: float) -> str:
    """A value without an error: four significant digits; integers, and what has more digits before the point, whole,
    with separators."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    if size >= LARGE or size < SMALL:
        return f"{value:.{DIGITS - 1}e}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return _at(value, DIGITS - 1 - _exponent(value, DIGITS) if size < 10**DIGITS else 0)


def with_error(value: float, error: float | None) -> tuple[str, str]:
    """A value and its standard error, or another spread, as texts: the error in two significant digits, the value to
    the same decimal place, such as ("0.01096", "0.00030"), ("1,234", "12") and ("1,230", "120").

    - without an error, or one that is not finite, the value has four significant digits, and the error is ""
    - an error of 0, or below the resolution of float32, is "0", and says nothing about the digits of its value
    - where one needs a power of ten, both have four significant digits: ("1.200e-09", "3.000e-10")
    """
    if error is None or not math.isfinite(error) or not math.isfinite(value):
        return format_value(value), ""
    if error <= RESOLUTION * abs(value):
        return format_value(value), "0"
    place = _exponent(error, 2) - 1
    if max(abs(value), error) >= LARGE or error < SMALL / 10:
        return format_value(value), format_value(error)
    return _at(value, -place), _at(error, -place)


def _exponent(value: float, digits: int) -> int:
    """The power of ten of the first digit, once the value is rounded to so many significant digits."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _at(value: float, decimals: int) -> str:
    """The value with so many decimals, or rounded to tens, hundreds … if they are negative."""
    text = f"{round(value, decimals):,.{max(0, decimals)}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text  # no minus zero
