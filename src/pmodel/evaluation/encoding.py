"""What a model says of each example: its code, its cluster, what is lost of it, and how probable it is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.capabilities import (
    Assigns,
    Classifies,
    Discriminates,
    Encodes,
    Estimate,
    LogProb,
    LowerBound,
    Reconstructs,
)

Answers = dict[str, Tensor]


def _log_prob(model: Any, x: Tensor, generator: Generator) -> Answers:
    return {} if getattr(model, "no_density", None) else {"log_prob": model.log_prob(x)}


def _estimate(model: Any, x: Tensor, generator: Generator) -> Answers:
    found, error = model.log_prob_estimate(x, generator=generator)
    return {"log_prob_estimate": found, "log_prob_estimate_error": error.expand(len(x))}


def _codes(model: Any, x: Tensor, generator: Generator) -> Answers:
    return {f"code_{j}": column for j, column in enumerate(model.encode(x).flatten(1).T)}


# What is asked of a model that can answer, in the order of the columns.
QUESTIONS: list[tuple[type, Callable[[Any, Tensor, Generator], Answers]]] = [
    (Assigns, lambda model, x, _: {"cluster": model.assign(x)}),
    (Classifies, lambda model, x, _: {"predicted_class": model.classify(x).argmax(1)}),
    (
        Reconstructs,
        lambda model, x, _: {"reconstruction_error": (model.reconstruct(x) - x).square().flatten(1).mean(1)},
    ),
    (LogProb, _log_prob),
    (LowerBound, lambda model, x, generator: {"elbo": model.elbo(x, generator=generator)}),
    (Estimate, _estimate),
    (Discriminates, lambda model, x, _: {"discriminator": model.discriminate(x)}),
    (Encodes, _codes),
]
# Of these, what is in nats of the model's coordinates, and is given in those of the source.
DENSITIES = ("log_prob", "elbo", "log_prob_estimate")


@torch.no_grad()
def answers(model: Any, x: Tensor, generator: Generator, log_volume: float = 0.0) -> Answers:
    """What a model says of examples x (B, …), by the names of columns: each (B,), on the CPU.

    - cluster: the number of its cluster; predicted_class: that of the most probable class
    - reconstruction_error: the squared difference to its reconstruction, mean over pixels
    - log_prob, elbo, log_prob_estimate: log p(x), a lower bound, or an estimate with its standard error; nats
    - discriminator: how real it looks
    - code_0, code_1, …: its features

    generator: of the noise of bounds and estimates
    log_volume: what log p of the model's coordinates is above that of the source's
    """
    found: Answers = {}
    for question, answer in QUESTIONS:
        if isinstance(model, question):
            found |= answer(model, x, generator)
    return {
        name: (values.double() - log_volume if name in DENSITIES else values).cpu() for name, values in found.items()
    }
