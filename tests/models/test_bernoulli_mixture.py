"""Mixtures of Bernoullis: EM against a slow loop, and probabilities against sums over all small images."""

import math
from itertools import pairwise, product

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from support import array_data, build, fit

from pmodel import build as build_one
from pmodel.models.bernoulli_mixture import BernoulliMixture


def images(n: int = 120, side: int = 3) -> torch.Tensor:
    """Noisy copies of three patterns, levels 0 and 1; the first pixel is always 0, the last one always 1."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(3, 1, side, side, generator=generator).round()
    flipped = torch.rand(n, 1, side, side, generator=generator) < 0.15
    x = (patterns[torch.arange(n) % 3] != flipped.float()).byte()
    x[:, 0, 0, 0], x[:, 0, -1, -1] = 0, 1
    return x


def mixture(shape: list[int], num_components: int = 3, pseudo_count: float = 0.5, **settings) -> BernoulliMixture:
    given = {"num_components": num_components, "pseudo_count": pseudo_count, "tolerance": 0.0, **settings}
    return build_one("model=bernoulli_mixture", data_shape=shape, num_levels=2, **given)


def fitted(x: torch.Tensor, max_epochs: int = 5, batch_size: int = 64, **settings) -> BernoulliMixture:
    lightning.seed_everything(0, verbose=False)
    model = mixture(list(x.shape[1:]), **settings)
    fit(model, array_data(x, batch_size, num_levels=2), max_epochs=max_epochs)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> BernoulliMixture:
    return fitted(images())


@pytest.fixture(scope="module")
def mixed() -> BernoulliMixture:
    """One whose components can't be told apart by a few pixels."""
    model = mixture([1, 3, 3]).eval()
    model.means.copy_(torch.rand(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 0.8 + 0.1)
    model.weights.copy_(torch.tensor([0.2, 0.3, 0.5]))
    return model


def every_image() -> torch.Tensor:
    """All 512 of 3×3 pixels."""
    return torch.tensor(list(product([0.0, 1.0], repeat=9)), dtype=torch.float64).view(-1, 1, 3, 3)


def slow_em(x: np.ndarray, weights: np.ndarray, means: np.ndarray, c: float, steps: int) -> tuple[np.ndarray, ...]:
    """The formulas of the model's docstring, one number at a time; the objective is that of the last start."""
    (N, D), K = x.shape, len(weights)
    m = (x.sum(0) + 0.5) / (N + 1)
    for _ in range(steps):
        r, log_likelihood, penalty = np.zeros((N, K)), 0.0, 0.0
        for n in range(N):
            for k in range(K):
                r[n, k] = weights[k]
                for d in range(D):
                    r[n, k] *= means[k, d] if x[n, d] == 1 else 1 - means[k, d]
            log_likelihood += math.log(r[n].sum())
            r[n] /= r[n].sum()
        for k in range(K):
            for d in range(D):
                penalty += m[d] * math.log(means[k, d]) + (1 - m[d]) * math.log(1 - means[k, d])
        objective = (log_likelihood + c * penalty) / N
        for k in range(K):
            for d in range(D):
                means[k, d] = (sum(r[n, k] * x[n, d] for n in range(N)) + c * m[d]) / (r[:, k].sum() + c)
            weights[k] = r[:, k].sum() / N
    return weights, means, objective


@pytest.mark.parametrize("steps", [1, 4])
def test_em_steps_match_a_slow_loop(steps):
    x = images(40)
    model = mixture([1, 3, 3], pseudo_count=0.7)
    start = torch.rand(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
    model.means.copy_(start)
    model.weights.copy_(torch.tensor([0.2, 0.3, 0.5]))
    model.initialized.fill_(True)
    given = x.flatten(1).double().numpy(), model.weights.numpy().copy(), start.numpy().copy()
    weights, means, objective = slow_em(*given, 0.7, steps)
    fit(model, array_data(x, 7, num_levels=2), max_epochs=steps)
    close = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(model.weights, torch.from_numpy(weights), **close)
    torch.testing.assert_close(model.means, torch.from_numpy(means), **close)
    assert model.objective.item() == pytest.approx(objective, rel=1e-10)


@pytest.mark.parametrize("pseudo_count", [1e-3, 5.0])
def test_the_penalized_log_likelihood_never_falls(pseudo_count):
    values = []
    watch = LambdaCallback(on_train_epoch_end=lambda trainer, model: values.append(model.objective.item()))
    lightning.seed_everything(0, verbose=False)
    model = mixture([1, 6, 6], 6, pseudo_count)
    fit(model, array_data(images(200, 6), num_levels=2), max_epochs=30, callbacks=[watch])
    assert len(values) == 30
    assert values[-1] > values[0] + 0.1
    assert all(b >= a - 1e-12 for a, b in pairwise(values))


def test_the_probabilities_of_all_images_sum_to_one(model):
    assert model.log_prob(every_image()).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("pseudo_count", [1e-300, 1.0])
def test_no_image_is_impossible_even_where_a_pixel_is_always_off(pseudo_count):
    model = fitted(images(), pseudo_count=pseudo_count)
    assert model.log_prob(every_image()).isfinite().all()
    assert model.log_prob(every_image()).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("known", [[[1, 1, 0], [0, 1, 1], [1, 1, 0]], [[0, 1, 0], [0, 0, 0], [1, 0, 0]]])
def test_completions_are_drawn_from_the_exact_conditional(known, mixed):
    """Against sums over all images; the hidden pixels of x are not a number."""
    model, known = mixed, torch.tensor(known).bool()
    x, n = images()[1].double(), 40_000
    everything = every_image()
    matching = ((everything == x) | ~known).flatten(1).all(1)
    exact = model.log_prob(everything)[matching].softmax(0)
    blank = x.where(known, math.nan).expand(n, 1, 3, 3)
    completed = model.complete(blank, known, generator=torch.Generator().manual_seed(0))
    same = (completed.flatten(1)[:, None] == everything[matching].flatten(1)).all(2)
    assert same.sum() == n  # each is one of those
    counted = same.double().mean(0)
    torch.testing.assert_close(counted, exact, rtol=0, atol=4 * exact.max().item() ** 0.5 / n**0.5)
    hidden = every_image()[matching].flatten(1)
    # Of each hidden pixel, and so of the components' posterior.
    torch.testing.assert_close(counted @ hidden, exact @ hidden, rtol=0, atol=4 * 0.5 / n**0.5)


def test_draws_have_the_probabilities_of_the_images(model):
    n = 100_000
    draws = model.sample(n, generator=torch.Generator().manual_seed(0))
    expected = (model.weights @ model.means).float().view(1, 3, 3)
    torch.testing.assert_close(draws.mean(0), expected, rtol=0, atol=4 * 0.5 / n**0.5)
    powers = 2.0 ** torch.arange(8, -1, -1)
    counted = torch.bincount((draws.flatten(1) @ powers).long(), minlength=512).double() / n
    torch.testing.assert_close(counted, model.log_prob(every_image()).exp(), rtol=0, atol=4 * 0.5 / n**0.5)


def test_responsibilities_are_bayes_rule_and_the_cluster_is_the_largest(model):
    x = every_image()
    likelihood = torch.where(x.flatten(1)[:, None] == 1, model.means, 1 - model.means).prod(2)
    joint = likelihood * model.weights
    torch.testing.assert_close(model.encode(x), joint / joint.sum(1, keepdim=True), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(model.log_prob(x), joint.sum(1).log(), rtol=1e-9, atol=1e-12)
    assert torch.equal(model.assign(x), joint.argmax(1))
    centres, shares = model.clusters()
    assert torch.equal(centres.flatten(1), model.means)
    assert torch.equal(shares, model.weights)


def test_results_do_not_depend_on_the_batch_size():
    small, large = (fitted(images(), batch_size=size) for size in (7, 120))
    torch.testing.assert_close(small.means, large.means, rtol=0, atol=1e-12)
    torch.testing.assert_close(small.weights, large.weights, rtol=0, atol=1e-12)


def test_it_finds_the_patterns_that_the_images_are_noisy_copies_of():
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(3, 64, generator=generator).round()
    label = torch.arange(600) % 3
    flipped = torch.rand(600, 64, generator=generator) < 0.1
    x = (patterns[label] != flipped.float()).byte().view(600, 1, 8, 8)
    model = fitted(x, max_epochs=30)
    probability = torch.where(patterns == 1, 0.9, 0.1).double()
    order = torch.cdist(probability, model.means).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    torch.testing.assert_close(model.means[order], probability, rtol=0, atol=0.1)
    assert torch.equal(model.assign(x.double()), order[label])


def test_a_large_pseudo_count_gives_every_component_the_mean_image():
    x = images()
    model = fitted(x, pseudo_count=1e9)
    mean = (x.flatten(1).double().sum(0) + 0.5) / (len(x) + 1)
    torch.testing.assert_close(model.means, mean.expand(3, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [(["data=digits"], "17"), (["data=mnist_5k", "data.binarize=none"], "256"), (["data=points"], "null")],
)
def test_images_that_are_not_binary_are_refused_in_one_line(settings, levels):
    with pytest.raises(ValueError, match=rf"\Adata\.num_levels={levels}: expected 2.*data\.binarize=dynamic or .*\Z"):
        build("model=bernoulli_mixture", *settings)


def test_more_components_than_examples_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"\Amodel\.num_components=50: expected at most 40, the examples"):
        fitted(images(40), num_components=50)
