"""Runs all benchmarks and writes docs/benchmarks.md from their rows, this machine's and those brought from others.

uv run benchmarks/run.py --data-dir ../shared/data             # on the CPU, about an hour
uv run benchmarks/run.py --device cuda                         # what a GPU is for
uv run benchmarks/run.py --only startup,sampling [--quick]
uv run benchmarks/run.py --only none                           # the page alone
"""

import argparse
import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
# The options that each takes.
BENCHMARKS = {
    "startup": (),
    "training": ("data_dir",),
    "streaming": ("data_dir",),
    "out_of_core": ("data_dir",),
    "epoch": ("data_dir", "device"),
    "autoregressive": ("device",),
    "recurrence": ("device",),
    "sampling": ("device",),
    "adversarial": ("data_dir", "device"),
    "evaluation": ("data_dir",),
    "breakdown": ("device",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--only", help=f"of {','.join(BENCHMARKS)}, or none")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run at all?")
    arguments = parser.parse_args()
    able = [name for name, takes in BENCHMARKS.items() if arguments.device == "cpu" or "device" in takes]
    chosen = able if arguments.only is None else [name for name in arguments.only.split(",") if name != "none"]
    if wrong := [name for name in chosen if name not in able]:
        sys.exit(f"error: --only={arguments.only}: {wrong[0]} is none of {', '.join(able)}, or none")
    failed = [name for name in chosen if not run(name, arguments)]
    PAGE.write_text(page(), encoding="utf-8")
    print(f"\nwrote {PAGE.relative_to(ROOT)}")
    if failed:
        sys.exit(f"error: {', '.join(failed)} failed; their files have what they had measured")


def run(name: str, arguments: argparse.Namespace) -> bool:
    """One benchmark in a process of its own; whether it came to its end."""
    folder = KEPT / arguments.device
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"--{option.replace('_', '-')}={getattr(arguments, option)}" for option in BENCHMARKS[name]]
    command = [sys.executable, f"benchmarks/{name}.py", f"--json={folder / name}.json", *options]
    command += ["--quick"] if arguments.quick else []
    print(f"\n{name}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def page() -> str:
    """docs/benchmarks.md: a table for each benchmark and device."""
    parts = [
        "# Benchmarks",
        "This page says how fast our code is beside a plain rival. Both run in the same process, in turn (A B A B …)."
        " The tables show the medians of both, and the median and range of rival/ours over the pairs: above 1, ours is"
        " faster. `uv run benchmarks/run.py` writes this page.",
    ]
    for device in ("cpu", "cuda"):
        for name in BENCHMARKS:
            file = KEPT / device / f"{name}.json"
            if file.exists():
                parts += table(name, device, json.loads(file.read_text(encoding="utf-8")))
    return "\n\n".join(parts) + "\n"


def table(name: str, device: str, rows: list[dict[str, Any]]) -> list[str]:
    """The part of the page that shows one benchmark's rows."""
    source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    lines = terms(rows) if "term" in rows[0] else ratios(rows)
    versions = ", ".join(f"{key} {value}" for key, value in rows[0]["versions"].items())
    command = f"uv run benchmarks/{name}.py" + (" --device cuda" if device == "cuda" else "")
    return [
        f"## {name}, {'GPU' if device == 'cuda' else 'CPU'}",
        ast.get_docstring(ast.parse(source)).splitlines()[0],
        "\n".join(lines),
        f"`{command}`; {rows[0]['hardware']}; {versions}",
    ]


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """Ours beside a rival."""
    lines = ["| | ours | rival | rival/ours | range | runs |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for row in rows:
        low, high = row["spread"]
        numbers = [f"{row['ours']:.4g} {row['unit']}", f"{row['rival']:.4g} {row['unit']}", f"**{row['ratio']:.2f}**"]
        lines.append(" | ".join([f"| {row['name']}", *numbers, f"{low:.2f} … {high:.2f}", f"{row['runs']} |"]))
    return lines


def terms(rows: list[dict[str, Any]]) -> list[str]:
    """The largest parts of a step, and the least that they could take."""
    lines = [
        "| step | its time | term | takes | GFLOP | GB | least time |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        whole, part = (f"{1e3 * row[key]:.1f} ms" for key in ("step", "seconds"))
        floor = ["–"] * 3
        if row["floor"] is not None:
            floor = [f"{row['flops'] / 1e9:.2f}", f"{row['bytes'] / 1e9:.3f}", f"{1e3 * row['floor']:.1f} ms"]
        lines.append("| " + " | ".join([row["name"], whole, row["term"], part, *floor]) + " |")
    _, moved = rows[0]["rates"]
    kinds = {row["name"].rpartition(" ")[2]: row["rates"][0] for row in rows}
    peak = " and ".join(f"{rate / 1e12:.3g} TFLOP/s in {kind}" for kind, rate in kinds.items())
    return [*lines, "", f"The least times assume {peak}, {moved / 1e9:.3g} GB/s."]


if __name__ == "__main__":
    main()
