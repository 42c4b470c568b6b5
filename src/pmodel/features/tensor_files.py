"""Named tensors in files that are whole or not there: what took long to compute, for the next run."""

import hashlib
import logging
import os
import pickle
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger("pmodel")

# What torch.load raises, depending on where the damage is.
DAMAGE = (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError, pickle.UnpicklingError)


def read_tensors(file: Path, otherwise: str) -> dict[str, Tensor] | None:
    """The tensors that `write_tensors` wrote, on the CPU; None where there is no such file.

    None also for a file that is damaged, with a line in the log.

    Args:
        otherwise: what is done then, for the log.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        tensors = content["tensors"]
        if content["sha256"] != sha256(*tensors.values()):
            raise ValueError("it does not hold what was written")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DAMAGE as error:
        log.warning("%s is damaged, so %s: %s", file, otherwise, error)
        return None
    return tensors


def write_tensors(file: Path, tensors: dict[str, Tensor], otherwise: str) -> None:
    """Writes tensors in one step: a reader sees a whole file or none. Without a place for it, a line in the log.

    Args:
        otherwise: what that means for the next run, for the log.
    """
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"tensors": tensors, "sha256": sha256(*tensors.values())}, temporary)
        temporary.replace(file)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            temporary.unlink()
        log.warning("%s can't be written, so %s: %s", file, otherwise, error)


def sha256(*parts: Tensor | str) -> str:
    """64 hexadecimal digits of the bytes of tensors, without their shapes and types, and of texts."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
        else:
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
