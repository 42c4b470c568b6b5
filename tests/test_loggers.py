"""What loggers write, read back."""

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import run_directory

from pmodel.loggers import CSVLogger

SMALL = ["data.limit=64", "trainer.max_epochs=2", "callbacks.final.num_samples=2"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_keeps_what_an_earlier_process_wrote_up_to_the_step_it_resumes_from(tmp_path):
    first = CSVLogger(str(tmp_path))
    for step in (1, 2, 3):
        first.log_metrics({"train/loss": 10.0 - step, "epoch": step}, step)
    first.finalize("failed")
    second = CSVLogger(str(tmp_path))
    second.log_metrics({"train/loss": 5.0}, 2)
    second.log_metrics({"val/loss": 4.0}, 2)
    second.finalize("success")
    assert rows(tmp_path / "metrics.csv") == [
        {"step": "1", "epoch": "1", "train/loss": "9.0", "val/loss": ""},
        {"step": "2", "epoch": "2", "train/loss": "5.0", "val/loss": "4.0"},
    ]


def test_tensorboard_gets_the_figures_and_the_numbers(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(*SMALL).code == 0
    events = EventAccumulator(str(run_directory(tmp_path / "logs") / "tensorboard")).Reload()
    assert {"figures/samples", "figures/reconstructions", "figures/loss_curves"} <= set(events.Tags()["images"])
    assert {"train/loss", "val/loss", "val/elbo"} <= set(events.Tags()["scalars"])
    last = float(rows(run_directory(tmp_path / "logs") / "metrics.csv")[-1]["val/loss"])
    assert np.isclose(events.Scalars("val/loss")[-1].value, last)


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "NETRC"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def wandb_records(file: Path) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format, fragments in blocks of 32 KiB, after a header of 7 bytes."""
    data, position, record = file.read_bytes(), 7, b""
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


def read_wandb(run: Path) -> tuple[str, set[str], dict]:
    """The id, the keys of the history and the config of the newest offline run in a run directory."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # its own process writes the file, and has written all of it once that process has ended
    file = max(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_mtime)
    history, config, run_id = set(), {}, ""
    for data in wandb_records(file):
        record = Record.FromString(data)
        history |= {item.key or "/".join(item.nested_key) for item in record.history.item}
        if record.HasField("run"):
            run_id = record.run.run_id
        for update in [*record.config.update, *record.run.config.update]:
            config[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
    return run_id, history, config


def test_wandb_without_an_account_is_offline_says_so_once_and_keeps_its_id(train, tmp_path, no_account):
    outcome = train("logger=wandb", *SMALL)
    assert outcome.code == 0, outcome.err
    said = [line for line in outcome.out.splitlines() if line.startswith("W&B: ")]
    assert len(said) == 1
    assert "offline" in said[0]
    run = run_directory(tmp_path / "logs")
    run_id, history, config = read_wandb(run)
    assert {"val/loss", "figures/samples", "figures/reconstructions"} <= {
        key.split("/_")[0] for key in history
    } | history
    assert config["seed"] == 1
    assert run_id == (run / "wandb_id").read_text().strip()
    assert train(f"resume={run}", "trainer.max_epochs=3").code == 0
    assert read_wandb(run)[0] == run_id
    assert rows(run / "metrics.csv")
