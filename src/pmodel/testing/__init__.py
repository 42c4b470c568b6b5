"""What every model must do, for the tests of whoever writes one: `from pmodel.testing import contract`."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pmodel.commands.quiet import NOISE
from pmodel.config.build import build
from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.testing.answers import check_answers_alone, check_answers_of_each_kind, check_completions
from pmodel.testing.evaluated import check_evaluation
from pmodel.testing.training import check_checkpoint, check_gradients, check_losses, check_shares, trained

CHECKS = (
    *(check_losses, check_gradients, check_shares, check_answers_of_each_kind, check_completions),
    *(check_answers_alone, check_checkpoint, check_evaluation),
)
# Of each split, where nobody says how many.
NUM_EXAMPLES = 64


def contract(*words: str, model: Any = None, data: Any = None) -> None:
    """Trains a model for two steps and checks all that pmodel expects of every model.

    Each loss is one number per example and has a unit, and each parameter gets a gradient from it. What a step draws
    does not depend on the number of devices. A checkpoint loads as plain values and answers the same. Each answer of
    `pmodel.capabilities` has its signature, shape and range, is of its example alone, carries no gradient and leaves
    the global random state as it was. An evaluation has a number or a reason for each question.

    Args:
        words: options and settings as typed to train.py: `contract("model=vae", "data=digits")`. Of a data set with a
            setting `limit`, 64 examples of each split are used if no other number is typed.
        model, data: a model and a data module of pmodel's, in place of the words. The model is trained.

    Raises:
        AssertionError: of one line, at the first thing that is wrong: the method, what was expected and what came.
        ValueError: of one line, if the words are wrong.
    """
    ready = model is not None and data is not None
    if bool(words) == ready:
        raise ValueError('contract: expected words, as contract("model=vae", "data=digits"), or a model and its data')
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        case = trained(model, data) if ready else trained(*built(*words))
        for check in CHECKS:
            check(case)


def built(*words: str) -> tuple[Any, Any]:
    """The model and the data module of words as typed to train.py.

    Raises:
        ValueError: of one line, as train.py has it, if there is no such option or setting, or one is out of its range.
    """
    register_resolvers()
    check_overrides("train", list(words))
    found = []
    for group in ("model", "data"):
        option = next((word for word in words if word.startswith(f"{group}=")), None)
        if option is None:
            raise ValueError(f"contract: expected {group}=… among its words, got {' '.join(words)}")
        others = [word for word in words if word != option]
        found.append(build(option, *others))
        if group == "data" and getattr(found[1], "limit", NUM_EXAMPLES) is None:
            found[1] = build(option, *others, limit=NUM_EXAMPLES)
    return found[0], found[1]


@contextmanager
def quiet() -> Iterator[None]:
    """Until its end, Lightning says nothing of itself; warnings of others are as before."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in NOISE:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)
