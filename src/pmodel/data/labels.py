"""Labels: whether each example has one, and a class-balanced part of a training split."""

import torch
from torch import Generator, Tensor

from pmodel.data.keys import mix_key


def balanced_subset(label: Tensor, num_classes: int | None, count: int, label_seed: int, split_seed: int) -> Tensor:
    """Positions (count,), int64, ascending, of examples drawn at random, of each class as many, to within one.

    Each class has an order of its own, drawn from the two seeds, and gives its first examples; the classes that give
    one more come first in an order drawn too. So the draws for a smaller count are a part of those for a larger one.

    label: (N,), int64, the class of each example, -1 for none
    num_classes: None if nothing has a label

    Raises:
        ValueError: if there are no labels, `count` is below the number of classes, or a class has too few examples;
            the message says what was expected.
    """
    if num_classes is None or not (label >= 0).any():
        raise ValueError("expected null, since the training examples have no labels")
    if count < num_classes:
        raise ValueError(f"expected at least {num_classes}, one of each class")
    share, rest = divmod(count, num_classes)
    wanted = torch.full((num_classes,), share)
    order = torch.randperm(num_classes, generator=Generator().manual_seed(mix_key(label_seed, split_seed)))
    wanted[order[:rest]] += 1
    chosen = []
    for k, size in enumerate(wanted.tolist()):
        members = (label == k).nonzero()[:, 0]
        if len(members) < size:
            raise ValueError(f"class {k} has {len(members)} training examples, expected at least {size}")
        generator = Generator().manual_seed(mix_key(label_seed, split_seed, k))
        chosen.append(members[torch.randperm(len(members), generator=generator)[:size]])
    return torch.cat(chosen).sort().values


def check_labels(split: str, label: Tensor, num_classes: int) -> None:
    """Refuses examples that a classifier can't learn from.

    label: (N,), int64, −1 where there is none

    Raises:
        ValueError: if one has no label, or one of no class below `num_classes`.
    """
    name = {"train": "training"}.get(split, split)
    if (label < 0).any():
        some = f"{int((label >= 0).sum()):,} of {len(label):,} {name} examples have one"
        raise ValueError(
            f"model=classifier: expected a label of each example, and {some}: label the others, or take them out"
        )
    if (label >= num_classes).any():
        raise ValueError(
            f"model.num_classes={num_classes}: expected more, since there is a {name} example of class"
            f" {int(label.max())}, counted from 0"
        )
