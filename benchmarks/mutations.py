"""Breaks the code on purpose, one place at a time, in a copy: do the tests see it?

uv run benchmarks/mutations.py                       # all of benchmarks/mutations.toml, about four minutes
uv run benchmarks/mutations.py --only NAME[,NAME]
uv run benchmarks/mutations.py --only none           # the page alone

A mutation is killed by the first test that fails, and survives where all that it names pass; these pass unbroken, which
is tried first. What was found stands in docs/benchmarks/mutations.json, and docs/mutations.md is written from it.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, as in the tests

from harness import read_rows, write_rows

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "benchmarks" / "mutations.toml"
FOUND = ROOT / "docs" / "benchmarks" / "mutations.json"
PAGE = ROOT / "docs" / "mutations.md"
COPIED = ("src", "conf", "tests", "docs", "zoo", "pyproject.toml", "train.py", "eval.py")
COPIED += ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
# Of the copy, where pytest's output is.
OUTPUT = "pytest.txt"
# Seconds that its tests may take: what is broken may never end.
LIMIT = 300
# Imported once, before pmodel is, which each process imports from the copy.
HEAVY = ("torch", "lightning.pytorch", "hydra", "pytest", "scipy.optimize", "sklearn.linear_model", "sklearn.metrics")


class Mutation(NamedTuple):
    """One way to be wrong.

    file, old, new: in which file which text becomes which other one; it has to occur there exactly once
    tests: what ought to fail, as for pytest
    what: what is wrong then, in a few words
    equivalent: why no test can tell; None where one can
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: list[str]
    equivalent: str | None = None

    @property
    def occurrences(self) -> int:
        """How often its text occurs in the file."""
        return (ROOT / self.file).read_text(encoding="utf-8").count(self.old)


def mutations() -> list[Mutation]:
    """The table."""
    with TABLE.open("rb") as file:
        return [Mutation(name, **entry) for name, entry in tomllib.load(file).items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAMES", help="of benchmarks/mutations.toml, with commas; or none")
    parser.add_argument("--json", type=Path, metavar="FILE", default=FOUND, help="what was found, and is kept")
    arguments = parser.parse_args()
    known = {mutation.name: mutation for mutation in mutations()}
    names = list(known) if arguments.only is None else [name for name in arguments.only.split(",") if name != "none"]
    if wrong := [name for name in names if name not in known]:
        sys.exit(f"error: --only={arguments.only}: {wrong[0]} is not in {TABLE.relative_to(ROOT)}")
    chosen = [known[name] for name in names]
    if stale := [f"{m.name}: {m.occurrences} times in {m.file}" for m in chosen if m.occurrences != 1]:
        sys.exit("error: expected each text once, but it occurs, of\n" + "\n".join(stale))
    rows = {row["name"]: row for row in read_rows(arguments.json) if row["name"] in known}
    for row in measured(chosen) if chosen else ():
        rows[row["name"]] = row
        write_rows(arguments.json, [rows[name] for name in known if name in rows])
        print(f"{row['name']:40} {row['seconds']:5.1f} s  {row['killed_by'] or 'SURVIVED'}", flush=True)
    if arguments.json == FOUND:
        PAGE.write_text(page(list(known.values()), rows), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    if survivors := [name for name in names if rows[name]["killed_by"] is None and known[name].equivalent is None]:
        sys.exit(f"error: no test saw {', '.join(survivors)}")


def measured(chosen: list[Mutation]) -> Iterator[dict[str, Any]]:
    """What became of each mutation, a row each."""
    for name in HEAVY:
        __import__(name)
    if "PMODEL_DATA_DIR" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
        os.environ["PMODEL_DATA_DIR"] = str(ROOT.parent / "shared" / "data")
    with tempfile.TemporaryDirectory(prefix="pmodel_mutations_") as folder:
        copy = Path(folder)
        for name in COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        failed = first_failure(copy, sorted({test for mutation in chosen for test in mutation.tests}), 10 * LIMIT)
        if failed is not None:
            print((copy / OUTPUT).read_text(encoding="utf-8")[-3000:])
            sys.exit(f"error: without any mutation: {failed} failed")
        for mutation in chosen:
            begin = time.perf_counter()
            whole = (copy / mutation.file).read_text(encoding="utf-8")
            (copy / mutation.file).write_text(whole.replace(mutation.old, mutation.new), encoding="utf-8")
            killed_by = first_failure(copy, mutation.tests, LIMIT)
            (copy / mutation.file).write_text(whole, encoding="utf-8")
            yield {"name": mutation.name, "killed_by": killed_by, "seconds": round(time.perf_counter() - begin, 1)}


def first_failure(copy: Path, tests: list[str], limit: float) -> str | None:
    """The first of the tests that fails, in a process that imports pmodel from the copy; None if all pass."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_run, args=(copy, tests, theirs))
    process.start()
    theirs.close()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return f"its tests, which did not end within {limit:.0f} s"
    try:
        return ours.recv()
    except EOFError:
        return f"its tests, which ended with code {process.exitcode}"


def _run(copy: Path, tests: list[str], answer: Any) -> None:
    import pytest

    class First:
        failed: str | None = None

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed and self.failed is None:
                self.failed = report.nodeid

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed and self.failed is None:
                self.failed = report.nodeid

    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    os.environ["PYTHONPATH"] = str(copy / "src")  # of processes that tests start
    # A file that is changed twice within a second would be taken for the one that is compiled.
    sys.dont_write_bytecode = True
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    output = os.open(copy / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    first = First()
    options = ["-x", "-q", "--assert=plain", "-n", "0", "-p", "no:cacheprovider", "-c", str(copy / "pyproject.toml")]
    code = pytest.main([*options, f"--rootdir={copy}", *tests], plugins=[first])
    sys.stdout.flush()
    if code == pytest.ExitCode.OK or first.failed:
        answer.send(first.failed)
    os._exit(int(code))


def page(table: list[Mutation], rows: dict[str, dict[str, Any]]) -> str:
    """docs/mutations.md."""
    killed = sum(mutation.name in rows and rows[mutation.name]["killed_by"] is not None for mutation in table)
    lines = [
        "# Mutations",
        "",
        f"This page lists {len(table)} faults that are put into the code on purpose, and the test that finds each."
        f" Tests find {killed} of them; {sum(m.equivalent is not None for m in table)} change nothing that a test could"
        " see. `benchmarks/mutations.toml` has the exact text of each. `uv run benchmarks/mutations.py` puts them into"
        " a copy, one at a time, and writes this page (`--only NAME`: one of them). It refuses a fault whose place has"
        " changed.",
        "",
        "| name | place | fault | test that finds it |",
        "| --- | --- | --- | --- |",
    ]
    for mutation in table:
        row = rows.get(mutation.name)
        if mutation.equivalent is not None:
            seen = f"none can: {mutation.equivalent}"
        elif row is None:
            seen = "not tried"
        elif row["killed_by"] is None:
            seen = "**none**"
        else:
            file, _, test = row["killed_by"].partition("::")
            seen = f"`{file}`: `{test}`" if test else file
        lines.append(f"| {mutation.name} | `{mutation.file.removeprefix('src/pmodel/')}` | {mutation.what} | {seen} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
