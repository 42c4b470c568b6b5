"""Bars on a terminal, lines elsewhere, and nothing for what is soon done."""

import io
import sys

import pytest

from pmodel.processes import bar
from pmodel.processes.bar import Bar, duration


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(bar.time, "monotonic", lambda: now[0])
    return now


def test_lines_with_the_time_left_where_there_is_no_terminal(clock, capsys):
    with Bar(100, "measuring") as progress:
        for _ in range(100):
            clock[0] += 1
            progress.update()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "measuring: 2%, about 98 s left",
        "measuring: 32%, about 68 s left",
        "measuring: 62%, about 38 s left",
        "measuring: 92%, about 8 s left",
    ]


def test_nothing_for_what_takes_less_than_two_seconds(clock, capsys):
    with Bar(10, "measuring") as progress:
        for _ in range(10):
            clock[0] += 0.19
            progress.update()
    assert capsys.readouterr() == ("", "")


def test_nothing_where_the_user_wants_none_nor_from_another_process(clock, capsys, monkeypatch):
    for shown, rank in ((False, "0"), (True, "1")):
        monkeypatch.setattr(Bar, "shown", shown)
        monkeypatch.setenv("LOCAL_RANK", rank)
        with Bar(10, "measuring") as progress:
            clock[0] += 5
            progress.update()
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_that_vanishes_on_a_terminal(monkeypatch):
    monkeypatch.setattr(Bar, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar(4, "measuring") as progress:
        for _ in range(4):
            progress.update()
        during = sys.stderr.getvalue()
    assert "measuring:" in during
    assert sys.stderr.getvalue().endswith("\r")


def test_durations_are_short():
    assert [duration(s) for s in (3.4, 99, 150, 5999, 9000)] == ["3 s", "99 s", "2 min", "100 min", "2.5 h"]
