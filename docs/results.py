"""Writes docs/results.md from the files in docs/results/.

    uv run docs/results.py                    # the page anew
    uv run docs/results.py logs/train/… …     # after taking in runs: their newest evaluation, and their curves

A run is taken in as `eval.py` evaluated it; runs that differ by their seed alone become one row, with their spread.
"""

import csv
import hashlib
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pmodel.evaluation import declared
from pmodel.reporting.decimals import with_error
from pmodel.reporting.texts import spread_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PUBLISHED = RESULTS / "published.yaml"
# What a run was given that is no part of its command; what of it matters, its entry says.
ASIDE = (
    "seed=",
    "threads=",
    "model.encoder.run=",
    "trainer=",
    "trainer.max_time=",
    "data_dir=",
    "logger=",
    "callbacks=",
    "callbacks.",
    "hydra",
    "paths.",
    "trainer.accelerator=",
)
# Of what eval.py was given: which run, where things lie, and how fast; no number depends on it.
ASIDE_OF_EVALUATION = (
    *("run=", "data_dir=", "data.path=", "cache_dir=", "batch_size=", "callbacks", "trainer", "hydra", "paths."),
)


def main(folders: list[str]) -> None:
    for folder in folders:
        for file in dict.fromkeys(take_in(Path(folder))):
            print(f"took in {file.relative_to(ROOT)}")
    (ROOT / "docs" / "results.md").write_text(rendered(), encoding="utf-8")


def take_in(folder: Path) -> list[Path]:
    """Adds the newest evaluation of a run, or of a multirun's jobs, to the results files of their commands."""
    evaluations = sorted(folder.glob("eval/*/results.json"))
    if not evaluations:
        sys.exit(f"error: {folder}: expected a run that eval.py has evaluated, but there is no eval/*/results.json")
    evaluation = json.loads(evaluations[-1].read_text(encoding="utf-8"))
    jobs = (folder / "multirun.yaml").exists()
    return [
        take_in_run(folder / Path(run["run"]).name if jobs else folder, run, evaluation) for run in evaluation["runs"]
    ]


def take_in_run(folder: Path, run: dict[str, Any], evaluation: dict[str, Any]) -> Path:
    """One run, as an evaluation has it; gives its results file.

    A run that trainer.max_time ended gives way to whole ones, and does not stand beside them.
    """
    typed = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
    given = {key: value for key, _, value in (line.partition("=") for line in typed)}
    command = " ".join(line for line in typed if not line.startswith(ASIDE))
    file = results_file(command)
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"command": command, "runs": []}
    rows = epochs_of(folder)
    if "overrides" not in evaluation:
        sys.exit(f"error: {folder}: its evaluation does not say what was typed for it: evaluate it again")
    asked = " ".join(word for word in evaluation["overrides"] if not word.startswith(ASIDE_OF_EVALUATION))
    entry = {
        **{key: run[key] for key in ("seed", "epoch", "status", "checkpoint_sha256", "data")},
        "split": evaluation["split"],
        **({"max_time": given["trainer.max_time"]} if "trainer.max_time" in given else {}),
        **({"features": checkpoint_hash(Path(given["model.encoder.run"]))} if "model.encoder.run" in given else {}),
        # Without a metrics.csv nothing chose an epoch, so the evaluated one is the last.
        "epochs": len(rows) or run["epoch"],
        "seconds": float(rows[-1]["seconds"]) if rows and "seconds" in rows[-1] else training_time(run),
        **{key: evaluation[key] for key in ("hardware", "versions", "code")},
        "numbers": [own_part(number, run["data"], asked) for number in run["numbers"]],
    }
    others = [old for old in content["runs"] if (old["seed"], old["split"]) != (run["seed"], evaluation["split"])]
    same_split = [old for old in content["runs"] if old["split"] == evaluation["split"]]
    if "max_time" in entry and any("max_time" not in old for old in same_split):
        sys.exit(f"error: {folder}: ended by trainer.max_time, where {file.name} has runs that came to their end")
    if "max_time" not in entry:
        others = [old for old in others if "max_time" not in old or old not in same_split]
    if any(old.get("features") != entry.get("features") for old in others if old in same_split):
        sys.exit(f"error: {folder}: expected the model.encoder.run of the other runs in {file.name}")
    for old in content["runs"]:
        # An earlier evaluation of the same weights may have looked through another network, or asked something else.
        if old not in others and old["checkpoint_sha256"] == run["checkpoint_sha256"]:
            new = {what_it_is(number) for number in entry["numbers"]}
            entry["numbers"] += [number for number in old["numbers"] if what_it_is(number) not in new]
    content["runs"] = sorted([*others, entry], key=lambda old: (old["split"], old["seed"]))
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if any(len(row) > 2 for row in rows):
        curve = file.with_name(f"{file.stem}_seed{run['seed']}.csv")
        names = list(dict.fromkeys(name for row in rows for name in row))
        with curve.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return file


def training_time(run: dict[str, Any]) -> float | None:
    """The seconds of a run's training, as its evaluation says."""
    return next((number["value"] for number in run["numbers"] if number["name"] == "training_time"), None)


def checkpoint_hash(path: Path) -> str:
    """The first 12 hexadecimal digits of a checkpoint's hash, or of a run's: of its best.ckpt, or last.ckpt."""
    of_run = [file for name in ("best", "last") if (file := path / "checkpoints" / f"{name}.ckpt").exists()]
    return hashlib.sha256((of_run or [path])[0].read_bytes()).hexdigest()[:12]


def what_it_is(number: dict[str, Any]) -> tuple[Any, ...]:
    """A number's name, the network that it looked through, and how many samples, of x and of z, it is of."""
    protocol = number.get("protocol", {})
    return number["name"], *map(protocol.get, ("feature_network", "num_generated", "num_samples"))


def own_part(number: dict[str, Any], data: dict[str, Any], asked: str) -> dict[str, Any]:
    """A number without what its run says of the data already, and what eval.py was asked for when it was measured."""
    protocol = {key: value for key, value in number.get("protocol", {}).items() if data.get(key) != value}
    rest = {key: value for key, value in number.items() if key not in ("protocol", "label", "group", "better")}
    return {**rest, **({"protocol": protocol} if protocol else {}), **({"evaluation": asked} if asked else {})}


def epochs_of(folder: Path) -> list[dict[str, str]]:
    """The end of each epoch: its number, the seconds until then, and the losses that metrics.csv has of it."""
    rows: dict[int, dict[str, str]] = {}
    file = folder / "metrics.csv"
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as opened:
        for line in csv.DictReader(opened):
            if not line["epoch"]:
                continue
            row = rows.setdefault(int(line["epoch"]), {"epoch": str(int(line["epoch"]) + 1)})
            if line.get("timing/seconds"):
                row["seconds"] = f"{float(line['timing/seconds']):.1f}"
            for name in ("train/loss", "val/loss", "val/frechet_distance"):
                if line.get(name):
                    row[name] = f"{float(line[name]):.4f}"
    return [rows[epoch] for epoch in sorted(rows) if len(rows[epoch]) > 1]  # the last may have been cut


def results_file(command: str) -> Path:
    """Where the runs of a command are: named after its experiment and what else was typed."""
    words = [word for word in command.split() if word != "-m" and not word.startswith(ASIDE)]
    experiment = next((word.partition("=")[2] for word in words if word.startswith("experiment=")), "run")
    others = (word.partition("=") for word in words if not word.startswith("experiment="))
    rest = sorted(f"{key.rpartition('.')[2]}={value}" for key, _, value in others)
    return RESULTS / ("+".join([experiment, *rest]).replace("/", "_") + ".json")


def rendered() -> str:
    """docs/results.md."""
    tables = OmegaConf.to_container(OmegaConf.load(PUBLISHED))
    intro = [
        "# Results",
        "Published numbers, and those of our own runs. `uv run docs/results.py` writes this page from"
        " `docs/results/`, where each run's numbers stand with all that they were measured by; nothing here is"
        " typed by hand.",
        "Each of our numbers is `eval.py`'s, of the epoch that the validation split chose where there is one, else of"
        " the last; the test split was read once for each run. ± is the standard error over the examples, of a single"
        " run; sd is the standard deviation over the runs of several seeds, beside their mean. The distance is how much"
        " worse ours is, with a minus how much better. A dash: not run yet.",
        "Below each table stand the two commands of each row, where `run=…` is the directory that the first has"
        " printed; and where a number looked through a feature network, the hash of its weights: another network gives"
        " another number.",
    ]
    parts, short = [], ["| | published | ours | |", "| --- | ---: | ---: | --- |"]
    for table in tables:
        rows = [Row(table, row) for row in table["rows"]]
        if len(set().union(*(row.feature_hashes for row in rows))) > 1:
            sys.exit(f"error: {table['title']}: expected features of the same weights in all rows, but they differ")
        parts += [f"## {table['title']} ({table['unit']}, {table['better']} is better)", table["note"].strip()]
        head = ["model", "protocol", "published", "ours", "distance", "runs", "parameters", "epochs", "training"]
        lines = [head, ["---", "---", *["---:"] * 7], *(row.cells() for row in rows)]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        parts.append("\n".join(dict.fromkeys(row.line() for row in rows)))
        short += [row.short() for row in rows if row.runs and row.row.get("short", True)]
    return "\n\n".join([*intro, "## At a glance", "\n".join(short), *parts]) + "\n"


class Row:
    """A published number and ours."""

    def __init__(self, table: dict[str, Any], row: dict[str, Any]):
        self.table, self.row, self.published = table, row, row["published"]
        self.name = row.get("number", table.get("number"))
        self.measured_by = table.get("measured_by", {}) | row.get("measured_by", {})
        self.file = results_file(row["command"])
        split = table.get("split", "test")
        runs = json.loads(self.file.read_text(encoding="utf-8"))["runs"] if self.file.exists() else []
        self.runs = [run for run in runs if run["split"] == split and self._number(run) is not None]
        self.values = [self._value(run) for run in self.runs]

    def _number(self, run: dict[str, Any], name: str | None = None) -> dict[str, Any] | None:
        asked = self.measured_by if name is None else {}
        for number in run["numbers"]:
            protocol = number.get("protocol", {})
            if number["name"] == (name or self.name) and all(protocol.get(key) == asked[key] for key in asked):
                return number
        return None

    @property
    def max_time(self) -> str | None:
        """The trainer.max_time that ended our runs, if one did."""
        return max((run["max_time"] for run in self.runs if "max_time" in run), default=None)

    @property
    def protocol(self) -> str:
        return self.row["protocol"] + (f", ended after {self.max_time}" if self.max_time else "")

    @property
    def command(self) -> str:
        """What trained our runs, or what would."""
        return self.row["command"] + (f" trainer.max_time={self.max_time}" if self.max_time else "")

    @property
    def feature_hashes(self) -> set[str]:
        """The weights of the networks that the numbers looked through."""
        found = (self._number(run).get("protocol", {}).get("feature_hash") for run in self.runs)
        return {weights for weights in found if weights is not None}

    def _value(self, run: dict[str, Any]) -> float:
        number = self._number(run)
        if self.table["unit"] == "bits/dim":
            return number["bits_per_dim"]
        return 100 * (1 - number["value"]) if self.table.get("percent_error") else number["value"]

    def _text(self, value: float) -> str:
        return f"{value:.{self.table['digits']}f}"

    @property
    def ours(self) -> str:
        """The mean over the runs and how uncertain it is."""
        if not self.runs:
            return "–"
        if len(self.values) > 1:
            return spread_text(self.values, "seeds")
        (value,), number = self.values, self._number(self.runs[0])
        error = number.get("standard_error")
        if error is None:
            return self._text(value)
        # In the table's unit.
        error *= abs(value / number["value"]) if "bits" in self.table["unit"] else 1
        return " ± ".join(with_error(value, 100 * error if self.table.get("percent_error") else error))

    @property
    def distance(self) -> str:
        """How much worse ours is than the published number; with a minus, how much better."""
        if not self.runs or self.published is None:
            return "–"
        worse = statistics.mean(self.values) - self.published
        worse = -worse if self.table["better"] == "higher" else worse
        text = f"{worse:+.{self.table['digits']}f}"
        return self._text(0) if float(text) == 0 else text.replace("-", "−")

    @property
    def label(self) -> str:
        """What is measured, as readers know it."""
        return "errors" if self.table.get("percent_error") else declared()[self.name].label.format_map(self.measured_by)

    @property
    def title(self) -> str:
        """The model, and the number where a table has several."""
        return f"{self.row['model']}: {self.label}" if "number" in self.row else self.row["model"]

    @property
    def evaluation(self) -> str:
        """What eval.py was asked for when ours was measured, or would be."""
        if self.runs:
            return self._number(self.runs[0]).get("evaluation", "")
        return self.row.get("evaluation", self.table.get("evaluation", ""))

    @property
    def commands(self) -> str:
        """What trains and what evaluates ours, as one types it."""
        features = " model.encoder.run=…" if self.row.get("after") else ""
        text = f"`uv run train.py {self.command}{features}`, `{f'uv run eval.py run=… {self.evaluation}'.strip()}`"
        if features:
            text += f", with the features of `uv run train.py {self.row['after']}`"
        return text

    @property
    def networks(self) -> str:
        """The feature network that the numbers looked through, and the features that the runs began with, each with
        the hash of its weights."""
        found = {}
        for run in self.runs:
            protocol = self._number(run).get("protocol", {})
            if "feature_hash" in protocol:
                found[f"feature network: {protocol.get('feature_network', 'unnamed')}, {protocol['feature_hash']}"] = (
                    None
                )
            if "features" in run:
                found[f"model.encoder.run: {run['features']}"] = None
        return "; ".join(found)

    @property
    def published_text(self) -> str:
        if self.published is None:
            return "–"
        mark = "" if self.row.get("verified", True) else " (not verified)"
        return self._text(self.published) + mark

    def cells(self) -> list[str]:
        """The row of its table in docs/results.md."""
        first = [self.title, self.protocol, self.published_text, self.ours, self.distance]
        if not self.runs:
            return [*first, "0", "–", "–", "–"]
        parameters = self._number(self.runs[0], "parameters")["value"]
        seconds = [run["seconds"] for run in self.runs if run["seconds"] is not None]
        epochs = " … ".join(
            str(e) for e in sorted({min(r["epochs"] for r in self.runs), max(r["epochs"] for r in self.runs)})
        )
        return [
            *first,
            str(len(self.runs)),
            f"{parameters:,.0f}",
            epochs,
            duration(statistics.mean(seconds)) if seconds else "–",
        ]

    def line(self) -> str:
        """What stands below the table: how to get the number, and where its curve is."""
        text = f"- {self.row['model']}, {self.row['protocol']}: {self.commands}"
        if self.networks:
            text += f"; {self.networks}"
        if self.row.get("remark"):
            text += f"; {self.row['remark']}"
        if self.row.get("source"):
            text += f"; published: {self.row['source']}"
        if self.row.get("aim") is not None:
            text += f"; aimed at: {self._text(self.row['aim'])}"
        if self.runs:
            run = self.runs[0]
            text += f"; ours: [{self.file.name}](results/{self.file.name}), {run['hardware']}"
            text += f", torch {run['versions']['torch']}"
            curves = sorted(RESULTS.glob(f"{self.file.stem}_seed*.csv"))
            if curves:
                text += ", curve: " + ", ".join(
                    f"[{curve.stem.rpartition('_')[2]}](results/{curve.name})" for curve in curves
                )
        return text

    def short(self) -> str:
        """The row of the table at the top of docs/results.md."""
        arrow = "↓" if self.table["better"] == "lower" else "↑"
        unit = self.table["unit"].removesuffix(" errors")
        unit = "" if unit in ("of 1", "distance") else f", {unit}"
        remark = f"; {self.row['remark']}" if self.row.get("remark") else ""
        what = f"{self.row['model']}, {self.protocol}: {self.label}{unit} {arrow}{remark}"
        return f"| {what} | {self.published_text} | {self.ours} | `{self.command}` |"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves two digits or more."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


if __name__ == "__main__":
    main(sys.argv[1:])
