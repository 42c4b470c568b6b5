"""Checkpoints that are whole or not there, however their writing ends."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from pmodel.files.atomic import SUFFIX, write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, brings it to the disk, and moves it there; for `Trainer(plugins=[…])`.

    A process that is killed, or a disk that is full, leaves the checkpoint that stood there before. What a killed
    process left half written is removed when the next checkpoint is.

    Lightning's own writes by way of fsspec to the system's folder of temporary files, and copies from there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last_written: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            NotWritten: of one line: what could not be written, and why.
        """
        assert storage_options is None
        path = Path(path)
        for left in path.parent.glob(f"*.ckpt{SUFFIX}"):
            left.unlink(missing_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(path, buffer.getbuffer())
        self.last_written = path
