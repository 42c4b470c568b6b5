"""What is expected of a model's answers: the protocols of `pmodel.capabilities`, with shapes and ranges."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pmodel import capabilities
from pmodel.testing.case import Case
from pmodel.testing.expect import expect, expect_finite, expect_shape, largest_difference

# Answers that one example has whatever others are asked about with it.
ALONE = ("encode", "log_prob", "log_prob_per_pixel", "classify", "reconstruct")


def protocols() -> dict[str, type]:
    """Those of `pmodel.capabilities`, by name."""
    found = inspect.getmembers(capabilities, lambda c: inspect.isclass(c) and getattr(c, "_is_protocol", False))
    return {name: protocol for name, protocol in found if name != "Protocol"}


def answers(model: Any) -> list[str]:
    """The names of the protocols that a model satisfies."""
    return [name for name, protocol in protocols().items() if isinstance(model, protocol)]


def check_answers_of_each_kind(case: Case) -> None:
    """Each capability has its signature, shape and range."""
    found = answers(case.model)
    expect(found, case.name, "a method of pmodel.capabilities, such as sample, log_prob or encode", "none of them")
    for name in found:
        if name in CHECKS:
            CHECKS[name](case)


def check_answers_alone(case: Case) -> None:
    """An answer is of its example, and of no other one; it carries no gradient and leaves the random state alone."""
    x, before = case.examples(5), torch.get_rng_state()
    asked: list[tuple[str, tuple, int | None]] = [(name, (x,), None) for name in ALONE if hasattr(case.model, name)]
    if isinstance(case.model, capabilities.Samples):
        asked.append(("sample", (2,), 0))
    if isinstance(case.model, capabilities.ImportanceBound):
        asked.append(("importance_bound", (x, 2), 0))
    if isinstance(case.model, capabilities.Completes):
        asked.append(("complete", (x, _first(x, 1)), 0))
    for name, given, seed in asked:
        answer, place = case.ask(name, *given, seed=seed), case.place(name, *given)
        expect(not answer.requires_grad, place, "an answer without a gradient (@torch.no_grad())", "one with it")
        same = torch.equal(before, torch.get_rng_state())
        noise = "no noise, or noise of the generator alone" if seed is not None else "no noise"
        expect(same, place, noise, "another state of PyTorch's global generator")
        # Which of two centres that are as near is nearest, rounding decides.
        if name in ALONE and not (name == "reconstruct" and isinstance(case.model, capabilities.Assigns)):
            first = case.ask(name, x[:1])
            close = torch.allclose(answer[:1], first, rtol=1e-3, atol=1e-3)
            said = largest_difference(answer[:1], first)
            expect(close, place, "the answer for an example that it has by itself", f"{said} in a batch")


def check_completions(case: Case) -> None:
    """Completions keep what is known, and do not see what is hidden."""
    if not isinstance(case.model, capabilities.Completes):
        return
    x = case.examples(5)
    upper_half = _first(x, x.shape[-2 if x.dim() > 2 else -1] // 2)
    some = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    for known in (upper_half, some):
        place = case.place("complete", x, known)
        completed = case.ask("complete", x, known, seed=7, shape=x.shape)
        kept = torch.where(known, completed, 0), torch.where(known, x, 0)
        expect(torch.equal(*kept), place, "x where known is True", largest_difference(*kept))
        if not getattr(case.model, "continuous_density", False) and case.data.num_levels is not None:
            _check_levels(case, place, completed)
        hidden = torch.where(known, x, 1 - x)
        blind = case.ask("complete", hidden, known, seed=7)
        said = largest_difference(completed, blind)
        expect(torch.equal(completed, blind), place, "values that do not depend on x where known is False", said)
        other = case.ask("complete", x, known, seed=8)
        expect(not torch.equal(completed, other), place, "other values from another generator", "the same ones")
    whole = case.ask("complete", x, torch.ones((), dtype=torch.bool), seed=7)
    expect(torch.equal(whole, x), case.place("complete", x), "x where all of it is known", largest_difference(whole, x))


def _first(x: Tensor, count: int) -> Tensor:
    """Which are the first rows of images x (B, C, H, W), or the first coordinates of points (B, D)."""
    return torch.arange(x.shape[-2])[:, None] < count if x.dim() > 2 else torch.arange(x.shape[-1]) < count


def _check_levels(case: Case, place: str, x: Tensor) -> None:
    """Values are on the data's levels, between 0 and 1."""
    expect(x.min() >= 0 and x.max() <= 1, place, "values in [0, 1]", f"[{x.min():.3g}, {x.max():.3g}]")
    steps = x * (case.data.num_levels - 1)
    off = (steps - steps.round()).abs().max()
    top = case.data.num_levels - 1
    expect(off <= 1e-3, place, f"values on {top + 1} levels, k / {top}", f"a value {off:.3g} / {top} from the nearest")


def _check_draws(case: Case, method: str, given: Any, shape: tuple[int, ...]) -> Tensor:
    """Draws have a shape, and the generator decides them; the first of them."""
    place = case.place(method, given)
    first, again = (case.ask(method, given, seed=7, shape=shape) for _ in range(2))
    said = largest_difference(first, again)
    expect(torch.equal(first, again), place, "the same draws from the same state of its generator", said)
    return first


def _check_samples(case: Case) -> None:
    place = case.place("sample", 4)
    drawn = _check_draws(case, "sample", 4, (4, *case.data.shape))
    expect_finite(place, drawn)
    other = case.ask("sample", 4, seed=8)
    expect(not torch.equal(drawn, other), place, "other draws from another state of its generator", "the same ones")
    # A density of continuous x knows nothing of levels.
    if case.on_levels:
        _check_levels(case, place, drawn)


def _check_samples_classes(case: Case) -> None:
    label = torch.tensor([0, (case.model.num_classes or 1) - 1, 0])
    if case.model.num_classes is not None:
        before = torch.get_rng_state()
        _check_draws(case, "sample_classes", label, (3, *case.data.shape))
        same = torch.equal(before, torch.get_rng_state())
        place = case.place("sample_classes", label)
        expect(same, place, "noise of the generator alone", "another state of PyTorch's global generator")
        return
    try:  # what was trained without labels refuses
        case.model.sample_classes(label)
    except ValueError:
        return
    raise AssertionError(f"{case.place('sample_classes', label)}: expected a ValueError without classes, got an answer")


def _check_samples_latents(case: Case) -> None:
    z = case.ask("sample_latents", 4)
    expect_shape(case.place("sample_latents", 4), z, (4, z[0].numel()))


def _check_log_probs(case: Case, place: str, value: Tensor) -> None:
    """Values are finite, and of levels log-probabilities."""
    expect_finite(place, value)
    if case.on_levels:
        expect((value <= 0).all(), place, "log-probabilities of levels, at most 0", f"up to {value.max():.3g}")


def _check_log_prob(case: Case) -> None:
    x = case.examples(5)
    _check_log_probs(case, case.place("log_prob", x), case.ask("log_prob", x, shape=(len(x),)))


def _check_log_prob_per_pixel(case: Case) -> None:
    x = case.examples(5)
    place = case.place("log_prob_per_pixel", x)
    per_pixel = case.ask("log_prob_per_pixel", x, shape=(len(x), *x.shape[2:]))
    _check_log_probs(case, place, per_pixel)
    total, whole = per_pixel.sum((1, 2)), case.ask("log_prob", x)
    close = torch.allclose(total, whole, rtol=1.3e-6, atol=1e-5)
    expect(close, place, f"the sum {case.name}.log_prob(x)", largest_difference(total, whole))


def _check_lower_bound(case: Case) -> None:
    _check_bound(case, "elbo")


def _check_importance_bound(case: Case) -> None:
    _check_bound(case, "importance_bound", 3)


def _check_bound(case: Case, method: str, *num_samples: int) -> None:
    x = case.examples(5)
    place = case.place(method, x, *num_samples)
    first, again = (case.ask(method, x, *num_samples, seed=7, shape=(len(x),)) for _ in range(2))
    _check_log_probs(case, place, first)
    said = largest_difference(first, again)
    expect(torch.equal(first, again), place, "the same bounds from the same state of its generator", said)


def _check_answers_with(case: Case) -> None:
    unknown = set(case.model.answer_settings) - set(inspect.signature(type(case.model)).parameters)
    place = f"{case.name}.answer_settings"
    expect(not unknown, place, "names of arguments of its constructor", ", ".join(sorted(unknown)))


def _check_encodes(case: Case) -> None:
    x = case.examples(5)
    z = case.ask("encode", x)
    place = case.place("encode", x)
    expect(isinstance(z, Tensor) and z.dim() == 2, place, f"features of shape ({len(x)}, D)", _form(z))
    expect_shape(place, z, (len(x), z.shape[1]))
    expect_finite(place, z)
    if isinstance(case.model, capabilities.Decodes):
        case.ask("decode", z, shape=x.shape)


def _check_trainable_features(case: Case) -> None:
    x = case.examples(5)
    z = case.ask("features", x, shape=case.ask("encode", x).shape)
    expect(z.requires_grad, case.place("features", x), "features with a gradient", "features without one")


def _check_reconstructs(case: Case) -> None:
    x = case.examples(5)
    expect_finite(case.place("reconstruct", x), case.ask("reconstruct", x, shape=x.shape))


def _check_discriminates(case: Case) -> None:
    x = case.examples(5)
    expect_finite(case.place("discriminate", x), case.ask("discriminate", x, shape=(len(x),)))


def _check_assigns(case: Case) -> None:
    x = case.examples(5)
    cluster = case.ask("assign", x, shape=(len(x),))
    expect(cluster.dtype == torch.int64, case.place("assign", x), "clusters of dtype int64", cluster.dtype)


def _check_classifies(case: Case) -> None:
    x = case.examples(5)
    total = case.ask("classify", x).sum(1)
    close = torch.allclose(total, torch.ones(len(x)), rtol=1.3e-6, atol=1e-5)
    said = f"sums of {total.min():.3g} to {total.max():.3g}"
    expect(close, case.place("classify", x), "probabilities that sum to 1", said)


def _check_clusters(case: Case) -> None:
    place = case.place("clusters")
    centres, shares = _tuple(case, "clusters", 2)
    expect_shape(f"{place}: the centres", centres, (len(shares), *case.data.shape))
    total = shares.sum().item()
    expect(abs(total - 1) <= 1e-5, place, "shares that sum to 1", f"a sum of {total:.3g}")


def _check_gaussian_components(case: Case) -> None:
    place, dims = case.place("gaussian_components"), case.examples(1).numel()
    weights, means, covariances = _tuple(case, "gaussian_components", 3)
    expect_shape(f"{place}: the means", means, (len(weights), dims))
    expect_shape(f"{place}: the covariances", covariances, (len(weights), dims, dims))


def _check_principal_components(case: Case) -> None:
    place, shape = case.place("principal_components"), case.data.shape
    mean, directions, shares = _tuple(case, "principal_components", 3)
    expect_shape(f"{place}: the mean", mean, shape)
    expect_shape(f"{place}: the directions", directions, (len(shares), *shape))
    expect((shares.diff() <= 0).all(), place, "shares in falling order", [round(share, 4) for share in shares.tolist()])


def _form(answer: Any) -> Any:
    return tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__


def _tuple(case: Case, method: str, count: int) -> tuple[Tensor, ...]:
    answer = case.ask(method)
    is_tuple = isinstance(answer, tuple | list) and len(answer) == count
    expect(is_tuple, case.place(method), f"{count} tensors", _form(answer))
    return tuple(answer)


# Protocols without a check say what a model knows of itself, or are of models that pmodel has none of.
CHECKS: dict[str, Callable[[Case], None]] = {
    "Samples": _check_samples,
    "SamplesClasses": _check_samples_classes,
    "SamplesLatents": _check_samples_latents,
    "LogProb": _check_log_prob,
    "LogProbPerPixel": _check_log_prob_per_pixel,
    "LowerBound": _check_lower_bound,
    "ImportanceBound": _check_importance_bound,
    "AnswersWith": _check_answers_with,
    "Encodes": _check_encodes,
    "TrainableFeatures": _check_trainable_features,
    "Reconstructs": _check_reconstructs,
    "Assigns": _check_assigns,
    "Discriminates": _check_discriminates,
    "Classifies": _check_classifies,
    "Clusters": _check_clusters,
    "GaussianComponents": _check_gaussian_components,
    "PrincipalComponents": _check_principal_components,
}
