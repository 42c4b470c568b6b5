"""Draws the splits that a data set does not come with."""

from collections.abc import Callable

import torch
from torch import Tensor

from pmodel.data.base import SPLITS, Split
from pmodel.data.keys import mix_key

# How people call splits, in lower case.
NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def complete_splits(
    found: dict[Split | None, Tensor], validation_count: Callable[[int], int], split_seed: int, place: str
) -> dict[Split, Tensor]:
    """The positions of each split's examples: those that are found, and those that are drawn.

    found: positions by split; those at None are of no split, and are drawn from for validation and as many for test;
        without them, and without a validation split, those of train for validation
    validation_count: how many of so many are drawn for validation
    place: the settings that say where the data are and how many are drawn; begins the message

    Raises:
        ValueError: if that leaves none for training.
    """
    none = torch.zeros(0, dtype=torch.int64)
    splits = {split: found.get(split, none) for split in SPLITS}
    is_open = len(found.get(None, none)) > 0
    if not is_open and not (len(splits["train"]) and not len(splits["validation"])):
        return splits
    pool = found[None] if is_open else splits["train"]
    pool = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(mix_key(split_seed)))]
    count, drawn = validation_count(len(pool)), 2 if is_open else 1
    if drawn * count >= len(pool):
        for_test = " and as many for test" if is_open else ""
        raise ValueError(
            f"{place} takes {count:,} of {len(pool):,} images for validation{for_test}, expected some that are left for"
            " training"
        )
    if is_open:
        splits["test"], pool = pool[:count], pool[count:]
    return splits | {"validation": pool[:count], "train": pool[count:]}
