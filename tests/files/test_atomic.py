"""Files and checkpoints stay whole when a write fails, however it does."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import small_disk

from pmodel.files import atomic
from pmodel.files.atomic import NotWritten, write_atomically
from pmodel.loggers.csv import CSVLogger
from pmodel.runs.checkpoint_io import AtomicCheckpointIO

BIG = {"state_dict": {"w": torch.arange(300_000.0)}}


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Makes the disk refuse: with this error, at this call."""

    def fail(call: str, number: int) -> None:
        def refuse(*args, **kwargs):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(atomic.os, call, refuse)

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "the disk is full (1.2 MB needed"), (errno.EDQUOT, "the disk quota is used up")]
)
def test_a_full_disk_keeps_the_checkpoint_before_and_says_what_was_needed(call, number, said, failing, tmp_path):
    checkpoints, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    checkpoints.save_checkpoint({"step": 1}, path)
    failing(call, number)
    with pytest.raises(NotWritten) as caught:
        checkpoints.save_checkpoint(BIG, path)
    assert f"last.ckpt can't be written: {said}" in str(caught.value)
    assert str(caught.value).endswith("; what it held before is kept")
    assert isinstance(caught.value.__cause__, OSError)
    assert names(tmp_path) == {"last.ckpt"}
    assert checkpoints.load_checkpoint(path, weights_only=True) == {"step": 1}


def test_another_reason_is_said_as_the_system_says_it(failing, tmp_path):
    failing("replace", errno.EROFS)
    with pytest.raises(NotWritten, match=r"a.txt can't be written: Read-only file system$"):
        write_atomically(tmp_path / "a.txt", b"a")


def test_metrics_on_a_full_disk_keep_their_rows_and_end_the_run_with_one_line(failing, tmp_path):
    logger = CSVLogger(str(tmp_path))
    logger.log_metrics({"loss": 1.0}, 1)
    logger.flush()
    failing("fsync", errno.ENOSPC)
    logger.log_metrics({"loss": 0.5}, 2)
    with pytest.raises(
        NotWritten, match=r"metrics.csv can't be written: the disk is full .*; what it held before is kept"
    ):
        logger.flush()
    logger.finalize("failed")  # what ended the run is said, not this
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["step,epoch,loss", "1,,1.0"]
    assert names(tmp_path) == {"metrics.csv"}


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(tmp_path):
    for name in ("last.ckpt.tmp", "epoch_003.ckpt.tmp", "notes.tmp", "best.ckpt"):
        (tmp_path / name).write_text("x")
    AtomicCheckpointIO().save_checkpoint({"step": 1}, tmp_path / "last.ckpt")
    assert names(tmp_path) == {"last.ckpt", "notes.tmp", "best.ckpt"}


KEEP_SAVING = """
import sys
from pathlib import Path
from pmodel.files.atomic import write_atomically
n = 0
while True:
    n += 1
    write_atomically(Path(sys.argv[1]), (b"%08d" % n) * 500_000)
    print(n, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_file(tmp_path):
    path = tmp_path / "last.ckpt"
    for wait in (0.0, 0.01, 0.02):
        process = subprocess.Popen([sys.executable, "-c", KEEP_SAVING, str(path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        assert content == content[:8] * 500_000


def test_a_disk_that_is_really_full_keeps_the_checkpoint_before(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        checkpoints, path = AtomicCheckpointIO(), disk / "checkpoints" / "last.ckpt"
        checkpoints.save_checkpoint(BIG, path)
        with pytest.raises(NotWritten, match=r"the disk is full \(1.2 MB needed beside what it held, 0.\d MB free\)"):
            checkpoints.save_checkpoint(BIG, path)
        assert names(path.parent) == {"last.ckpt"}
        loaded = checkpoints.load_checkpoint(path, weights_only=True)
        assert torch.equal(loaded["state_dict"]["w"], BIG["state_dict"]["w"])
