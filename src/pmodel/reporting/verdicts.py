"""What a model is good and bad at on its data, in one sentence, by plain rules on the numbers of a table.

Only numbers that have a `skill`, were measured alike and have no caveat count. A run is the best at what the table
marks with a star, and the weakest where others are better and none is worse. Better and worse mean: by more than the
standard errors of both, combined.
"""

from typing import NamedTuple

from pmodel.reporting.comparison import Column, Table, beats, is_ranked
from pmodel.reporting.texts import grouped, is_finite, listed

KINDS = {"exact": "exact ", "bound": "bounded ", "estimate": "estimated "}
# The most that a sentence names on each side.
MOST = 2
# Of pairs of a sample and an unseen example, the share in which the sample is nearer to the training examples, and what
# it has to exceed by three standard errors: half of them are where the model invents.
COPIES, COPYING = "nearer_to_training", 0.55


class Standing(NamedTuple):
    """How a run stands in one column.

    ahead, behind: how many of the others are better, and how many worse, by more than the standard errors
    others: the runs that it is held against
    """

    skill: str
    is_best: bool
    ahead: int
    behind: int
    others: list[str]

    @property
    def place(self) -> str:
        """Such as "2nd of 7"."""
        k = self.ahead + 1
        ending = "th" if 10 < k % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(k % 10, "th")
        return f"{k}{ending} of {len(self.others) + 1}"


def skill_of(column: Column) -> str:
    """What a model is good at that has a good value, with how it is known: "exact likelihood of unseen examples"."""
    return f"{KINDS.get(column.kind, '')}{column.skill}" if column.skill else ""


def verdict(table: Table, row: int) -> str:
    """One sentence about a run, the `row`-th of the table: against the others, or alone against real examples."""
    good, bad = _alone(table) if len(table.runs) == 1 else _among_others(table, row)
    if _copies(table, row):
        bad.append("draws samples close to copies of training examples")
    sides = [f"it {listed(side)}" for side in (good, bad) if side]
    if not sides:
        alone = len(table.runs) == 1
        return f"There is nothing to hold it against{': evaluate it beside another run' if alone else ''}."
    return f"I{'; '.join(sides)[1:]}."


def _among_others(table: Table, row: int) -> tuple[list[str], list[str]]:
    standings = _standings(table, row)
    best = [each for each in standings if each.is_best and each.behind]
    last = [each for each in standings if each.ahead and not each.behind]
    level = [each for each in standings if not each.ahead and not each.behind]
    good, bad = _at("is best", "is ahead of", best), _at("is weakest", "is behind", last)
    if len(best) < MOST:
        good += [f"alone has {skill}" for skill in _only(table, row)[:1]]
    between = sorted((s for s in standings if s.ahead and s.behind), key=lambda s: s.ahead / len(s.others))
    if not best and between:
        good.insert(0, f"is {between[0].place} at {between.pop(0).skill}")
    if not last and between and 2 * between[-1].ahead > len(between[-1].others):
        bad.append(f"is {between[-1].place} at {between[-1].skill}")
    if not good:
        good = _at("is level with the others", "is level with", level)
    return good, bad


def _at(superlative: str, comparative: str, standings: list[Standing]) -> list[str]:
    """ "is best at …" for what several others can do, "is ahead of … at …" where there is one other."""
    found = grouped((s.others[0] if len(s.others) == 1 else "", s.skill) for s in standings[:MOST])
    return [f"{f'{comparative} {o}' if o else superlative} at {listed(skills)}" for o, skills in found.items()]


def _standings(table: Table, row: int) -> list[Standing]:
    """Of the first column of each skill that the run has beside others."""
    found: dict[str, Standing] = {}
    for column in table.columns:
        number, skill = column.numbers[row], skill_of(column)
        if not (skill and column.better) or column.difference or not is_ranked(number):
            continue
        others = {
            label: other
            for i, (label, other) in enumerate(zip(table.labels, column.numbers, strict=True))
            if i != row and is_ranked(other)
        }
        if others and skill not in found:
            ahead = sum(beats(other, number) for other in others.values())
            behind = sum(beats(number, other) for other in others.values())
            found[skill] = Standing(skill, column.best[row], ahead, behind, list(others))
    return list(found.values())


def _only(table: Table, row: int) -> list[str]:
    """What no other run can do."""
    having = grouped(
        (skill_of(column), i)
        for column in table.columns
        for i, number in enumerate(column.numbers)
        if column.skill and is_ranked(number)
    )
    return [skill for skill, rows in having.items() if set(rows) == {row}]


def _alone(table: Table) -> tuple[list[str], list[str]]:
    """A single run, where real examples in the place of samples have a number too."""
    good, bad = [], []
    for column in table.columns:
        (number,), reference = column.numbers, column.reference
        if column.skill and column.better and is_ranked(number) and is_ranked(reference):
            (bad if beats(reference, number) else good).append(column.skill)
    return (
        [f"is as good as real examples at {listed(good)}"] if good else [],
        [f"is short of real examples at {listed(bad)}"] if bad else [],
    )


def _copies(table: Table, row: int) -> bool:
    numbers = [c.numbers[row] for c in table.columns if c.name.startswith(COPIES) and c.numbers[row]]
    return any(is_finite(n["value"]) and n["value"] - 3 * (n.get("standard_error") or 0.0) > COPYING for n in numbers)
