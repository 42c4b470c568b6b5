"""Bars on a terminal, lines elsewhere, and nothing for what is soon done."""

import io
import sys

import pytest

from pmodel.processes.bar import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def work(clock: list[float], seconds: float) -> str:
    """What is said during 100 steps of so many seconds."""
    with Bar(100, "measuring") as progress:
        for _ in range(100):
            clock[0] += seconds
            progress.update()
        return sys.stderr.getvalue()


def test_lines_with_the_time_left_where_there_is_no_terminal(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    said = [line.strip() for line in work(clock, 1).splitlines() if line.strip()]
    assert said == ["measuring: 30%, 01:10 left", "measuring: 60%, 00:40 left", "measuring: 90%, 00:10 left"]


def test_a_bar_that_vanishes_on_a_terminal(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert "measuring:" in work(clock, 1)
    assert sys.stderr.getvalue().endswith("\r")


@pytest.mark.parametrize(("shown", "rank", "seconds"), [(False, "0", 1), (True, "1", 1), (True, "0", 0.019)])
def test_nothing_where_the_user_wants_none_nor_from_another_process_nor_of_what_is_soon_done(
    clock, monkeypatch, shown, rank, seconds
):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(Bar, "shown", shown)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert work(clock, seconds) == ""
