"""Keeps the libraries' remarks on themselves out of the terminal; train.log has those that are logged."""

import functools
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

# Regular expressions of warnings about which a user of pmodel can do nothing.
NOISE = (
    # Lightning calls a PyTorch function in a way that PyTorch has deprecated.
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    # Steps are logged by their count over the whole run, not within an epoch.
    r"The number of training batches .* is smaller than the logging interval",
    # There are no validation examples: data.num_validation=0.
    r"Total length of `list` across ranks is zero",
    # Validation is not due in every epoch; best.ckpt waits for it.
    r".*could not find the monitored key in the returned metrics",
    # Logged numbers are over all devices already.
    r"It is recommended to use `self\.log\(.*sync_dist=True\)`",
    # Streaming models have no optimizer.
    r"`LightningModule.configure_optimizers` returned `None`",
    # A classifier's frozen encoder is in eval mode on purpose.
    r"Found \d+ module\(s\) in eval mode at the start of training",
    # Of 1×1 convolutions, whose weights have two layouts that are the same; on several devices.
    r"Grad strides do not match bucket view strides",
    # On one GPU there is nothing to spread.
    r"FSDP is switching to use `NO_SHARD`",
    r"When using ``NO_SHARD`` for ``ShardingStrategy``",
    # Lightning saves a model that is spread over devices in a way that PyTorch has deprecated.
    r"FSDP\.state_dict_type\(\) and FSDP\.set_state_dict_type\(\) are being deprecated",
    # A resumed run writes where it wrote before.
    r"Checkpoint directory .* exists and is not empty",
    r"The dirpath has changed from",
    # It may have another time limit, or none, and need not be stopped early.
    r"Be aware that when using `ckpt_path`.*\[('Timer'|'EarlyStopping'|, )+\]",
    # An image whose header can't be read beyond its size; it is as it is stored.
    r"(Possibly c|C)orrupt EXIF data",
)


# What Lightning logs of itself: an advertisement, and a setting that is set.
CHATTER = ("💡 Tip", "`weights_only` was not set")


def _worth_keeping(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(CHATTER)


def accept_any_terminal() -> None:
    """Lets a terminal or a file that has no × or ± show something else there, where Python would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
            stream.write, stream.flush = _unheard(stream, stream.write), _unheard(stream, stream.flush)


def _unheard(stream: io.TextIOWrapper, method: Callable) -> Callable:
    """Writes as before; when nobody reads any more, as in `train.py | head -3`, the rest goes nowhere."""

    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            return None

    return call


def quieten_libraries() -> None:
    """Sends Lightning's remarks on hardware to the log file alone, and drops its `CHATTER` and `NOISE`."""
    logging.raiseExceptions = False  # of a full disk, which the run itself soon meets
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.trainer.connectors.checkpoint_connector"):
        logging.getLogger(name).addFilter(_worth_keeping)
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for message in NOISE:
        warnings.filterwarnings("ignore", message)
