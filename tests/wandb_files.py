"""Reads back what W&B wrote into a run directory while it was offline."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb
from wandb.proto.wandb_internal_pb2 import Record


@dataclass
class WandbFile:
    """One .wandb file.

    id, group, tags, exit_code: of the run; exit_code None: it was never finished
    config, summary: by their keys, nested ones joined by dots
    history: a dict for each call of `log`
    artifacts: by the artifact's type and name, the paths in it
    """

    folder: Path
    id: str = ""
    name: str = ""
    group: str = ""
    tags: list[str] = field(default_factory=list)
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        """What was logged, by name."""
        return {key for row in self.history for key in row}

    def values(self, key: str) -> list[Any]:
        return [row[key] for row in self.history if key in row]

    def images(self, key: str) -> list[bytes]:
        """The files of all images logged under a name, in their order."""
        return [
            (self.folder / "files" / name).read_bytes() for value in self.values(key) for name in value["filenames"]
        ]


def wandb_runs(run: Path) -> list[WandbFile]:
    """Those of a run directory, the oldest first."""
    wandb.finish()
    wandb.teardown()  # its own process writes the files, and has written all of them once that process has ended
    files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime_ns)
    return [read(file) for file in files]


def read(file: Path) -> WandbFile:
    run = WandbFile(file.parent)
    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        if record.HasField("run"):
            run.id, run.name, run.group = record.run.run_id, record.run.display_name, record.run.run_group
            run.tags = list(record.run.tags)
        for update in [*record.config.update, *record.run.config.update]:
            _set(run.config, update)
        for update in record.summary.update:
            _set(run.summary, update)
        if record.history.item:
            run.history.append({})
            for item in record.history.item:
                first, *inner = item.nested_key or [item.key]
                value = json.loads(item.value_json)
                if inner:
                    run.history[-1].setdefault(first, {})[".".join(inner)] = value
                else:
                    run.history[-1][first] = value
        if record.HasField("exit"):
            run.exit_code = record.exit.exit_code
        artifact = record.artifact or record.request.log_artifact.artifact
        if artifact.name:
            run.artifacts[artifact.type, artifact.name] = [entry.path for entry in artifact.manifest.contents]
    return run


def _set(target: dict[str, Any], update: Any) -> None:
    """Sets a value, and that of each leaf of a nested one, which W&B writes either at once or leaf by leaf."""
    _flatten(target, update.key or ".".join(update.nested_key), json.loads(update.value_json))


def _flatten(target: dict[str, Any], key: str, value: Any) -> None:
    target[key] = value
    if isinstance(value, dict):
        for name, leaf in value.items():
            _flatten(target, f"{key}.{name}", leaf)


def _records(data: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format: fragments in blocks of 32 KiB, after a header of 7 bytes."""
    position, record = 7, b""
    while position + 7 <= len(data):
        left_in_block = 32768 - position % 32768
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last fragment
            yield record
            record = b""
