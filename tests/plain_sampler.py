"""The samplers of autoregressive models written the plain way: one forward pass of the whole image per sub-pixel."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.distributions.noise import gumbel


def plain_sample(model: Any, n: int, *, generator: Generator | None = None, label: Tensor | None = None) -> Tensor:
    """n images, equal to those of `model.sample`, or of `model.sample_classes`, from the same generator."""
    x = torch.zeros(n, *model.data_shape, device=model.device)
    return plain_complete(model, x, x.bool(), generator=generator, label=label)


@torch.no_grad()
def plain_complete(
    model: Any,
    x: Tensor,
    known: Tensor,
    *,
    generator: Generator | None = None,
    label: Tensor | None = None,
) -> Tensor:
    """x with new values where `known` is False, equal to `model.complete`'s from the same generator.

    The noise comes in the same order: that of the labels, then for each batch and row that of all the row's pixels.
    """
    known = known.expand_as(x)
    if model.num_classes is not None and label is None:
        label = _labels(model, x, known, generator)
    batch_size = model.sample_batch
    parts = [
        _fill(
            model,
            x[start : start + batch_size].clone(),
            known[start : start + batch_size],
            None if label is None else label[start : start + batch_size],
            generator,
        )
        for start in range(0, len(x), batch_size)
    ]
    return torch.cat(parts)


def _rows(model: Any) -> Iterator[tuple[int, range]]:
    """Each row with its columns, in the order in which they are drawn: those of the small image first."""
    _, H, W = model.data_shape
    if factor := getattr(model, "factor", None):
        yield from ((i, range(0, W, factor)) for i in range(0, H, factor))
    yield from ((i, range(W)) for i in range(H))


def _labels(model: Any, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
    """Labels drawn given all known pixels before the first of which a channel is hidden."""
    log_p = x.new_zeros(len(x), model.num_classes)
    order = list(dict.fromkeys((i, j) for i, columns in _rows(model) for j in columns))
    for y in range(model.num_classes):
        per_pixel = model.log_prob_per_pixel(x, torch.full((len(x),), y, device=x.device))
        for n in range(len(x)):
            for i, j in order:
                if not known[n, :, i, j].all():
                    break
                log_p[n, y] += per_pixel[n, i, j]
    return (log_p + gumbel(tuple(log_p.shape), log_p, generator)).argmax(1)


def _fill(model: Any, x: Tensor, known: Tensor, label: Tensor | None, generator: Generator | None) -> Tensor:
    B, C, _, _ = x.shape
    groups = [slice(0, C)] if model.network.whole_pixels else [slice(c, c + 1) for c in range(C)]
    done: set[tuple[int, int]] = set()
    for i, columns in _rows(model):
        noise = model.likelihood.noise(x.new_zeros(len(columns) * B, model.likelihood.num_parameters(C)), generator)
        for place, j in enumerate(columns):
            if (i, j) in done:
                continue
            done.add((i, j))
            noise_here = tuple(part[place * B : (place + 1) * B] for part in noise)
            for channels in groups:
                parameters = model._parameters_of(x, label)[:, :, i, j]
                # Values of all channels; those of other ones than the present are left aside.
                drawn = model.likelihood.draw(parameters, noise_here)[:, channels].to(x)
                here = x[:, channels, i, j]
                x[:, channels, i, j] = torch.where(known[:, channels, i, j], here, drawn)
    return x
