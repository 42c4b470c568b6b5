"""Likelihoods are probabilities, and their samples follow them."""

import itertools
import math

import pytest
import torch
from scipy import stats

from pmodel.distributions import Bernoulli, Categorical, DiscretizedLogisticMixture, Gaussian, make_likelihood
from pmodel.distributions.per_channel import PerChannel

DISCRETE = [
    (Bernoulli(), 2),
    (Categorical(2), 2),
    (Categorical(17), 17),
    (DiscretizedLogisticMixture(2, 3), 2),
    (DiscretizedLogisticMixture(17, 2), 17),
    (DiscretizedLogisticMixture(256, 5), 256),
]


def parameters(likelihood, channels: int, positions: tuple[int, ...], scale: float = 1.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(1, likelihood.num_parameters(channels), *positions, generator=generator)


@pytest.mark.parametrize(("likelihood", "levels"), DISCRETE)
@pytest.mark.parametrize("scale", [0.5, 3.0, 8.0])
def test_probabilities_sum_to_one_over_the_levels(likelihood, levels, scale):
    p = parameters(likelihood, 1, (2, 3), scale).expand(levels, -1, -1, -1)
    x = (torch.arange(levels) / (levels - 1)).view(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    total = likelihood.log_prob_per_position(p, x).double().exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, 3, dtype=torch.float64), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("likelihood", "levels"), [(Bernoulli(), 2), (Categorical(4), 4), (DiscretizedLogisticMixture(5, 3), 5)]
)
def test_probabilities_sum_to_one_over_all_colours_of_a_pixel(likelihood, levels):
    colours = torch.tensor(list(itertools.product(range(levels), repeat=3))) / (levels - 1)
    p = parameters(likelihood, 3, (1, 1)).expand(len(colours), -1, -1, -1)
    total = likelihood.log_prob(p, colours.view(-1, 3, 1, 1)).double().exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


def test_channels_of_a_logistic_mixture_depend_on_earlier_ones_only():
    likelihood = DiscretizedLogisticMixture(17, 1)
    p = parameters(likelihood, 3, (1, 1), 0.5).double()
    x = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1)

    def log_prob_of_channel(c: int, x: torch.Tensor) -> torch.Tensor:
        """By the definition, with one component: the joint of the channels up to c over that up to c − 1."""
        _, means, log_scales, a = (t.flatten() for t in likelihood._split(p))
        y = (2 * x - 1).flatten().double()
        shift = {0: 0.0, 1: a[0] * y[0], 2: a[1] * y[0] + a[2] * y[1]}[c]
        mean, scale, h = means[c] + shift, log_scales[c].exp(), 1 / 16
        return torch.log(torch.sigmoid((y[c] + h - mean) / scale) - torch.sigmoid((y[c] - h - mean) / scale))

    expected = sum(log_prob_of_channel(c, x) for c in range(3))
    torch.testing.assert_close(likelihood.log_prob(p, x).squeeze().double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_logistic_mixture_stays_finite_and_has_gradients_far_from_its_mean(scale):
    likelihood = DiscretizedLogisticMixture(256, 1)
    p = torch.tensor([0.0, 40.0, math.log(scale)]).view(1, 3, 1, 1).requires_grad_()
    log_p = likelihood.log_prob(p, torch.full((1, 1, 1, 1), 100 / 255))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert p.grad.isfinite().all()
    assert p.grad[0, 1] != 0


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_logistic_mixture_has_gradients_at_any_scale(levels):
    likelihood = DiscretizedLogisticMixture(levels, 1)
    log_scales = torch.tensor([-200.0, -8.0, 0.0, 8.0, 200.0])
    parameters = torch.stack([torch.zeros(5), torch.full((5,), 0.3), log_scales], dim=1).requires_grad_()
    for x in (0.0, 1 / (levels - 1), 1.0):
        log_prob = likelihood.log_prob(parameters, torch.full((5, 1), x))
        (gradient,) = torch.autograd.grad(log_prob.sum(), parameters)
        assert log_prob.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("likelihood", "levels"), DISCRETE)
def test_samples_follow_the_probabilities(likelihood, levels):
    n = 20_000
    p = parameters(likelihood, 1, (1, 1)).expand(n, -1, -1, -1)
    drawn = likelihood.sample(p, generator=torch.Generator().manual_seed(1)).flatten()
    level = (drawn * (levels - 1)).round().long()
    torch.testing.assert_close(level / (levels - 1), drawn)
    x = (torch.arange(levels) / (levels - 1)).view(-1, 1, 1, 1)
    expected = n * likelihood.log_prob(p[:levels], x).double().exp()
    observed = torch.bincount(level, minlength=levels).double()
    common = expected > 5
    pooled = [torch.cat([t[common], t[~common].sum()[None] + 1e-9]) for t in (observed, expected)]
    statistic = ((pooled[0] - pooled[1]).square() / pooled[1].clamp(min=1)).sum().item()
    assert stats.chi2.sf(statistic, df=len(pooled[0]) - 1) > 1e-4


@pytest.mark.parametrize(("likelihood", "levels"), DISCRETE)
def test_mean_is_the_expectation_over_the_levels(likelihood, levels):
    p = parameters(likelihood, 1, (2, 2)).expand(levels, -1, -1, -1)
    x = (torch.arange(levels) / (levels - 1)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    expected = (likelihood.log_prob_per_position(p, x).exp() * x[:, 0]).sum(0)
    torch.testing.assert_close(likelihood.mean(p[:1])[0, 0], expected, atol=1e-4, rtol=1e-4)


def test_colour_samples_of_a_logistic_mixture_follow_its_probabilities():
    likelihood, levels, n = DiscretizedLogisticMixture(3, 2), 3, 20_000
    p = parameters(likelihood, 3, (1, 1)).expand(n, -1, -1, -1)
    drawn = (likelihood.sample(p, generator=torch.Generator().manual_seed(2)) * 2).round().long().flatten(1)
    observed = torch.bincount(drawn @ torch.tensor([9, 3, 1]), minlength=27).double()
    colours = torch.tensor(list(itertools.product(range(levels), repeat=3))).view(-1, 3, 1, 1) / 2
    expected = n * likelihood.log_prob(p[:27], colours).double().exp()
    assert stats.chi2.sf(((observed - expected).square() / expected.clamp(min=1)).sum().item(), df=26) > 1e-4


def test_gaussian_equals_scipy_and_learns_its_scale():
    likelihood = Gaussian(0.7)
    x, mean = torch.randn(5, 2), torch.randn(5, 2)
    expected = stats.norm(mean.double().numpy(), 0.7).logpdf(x.double().numpy()).sum(1)
    torch.testing.assert_close(likelihood.log_prob(mean, x).double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)
    assert [name for name, _ in Gaussian("learned").named_parameters()] == ["log_scale"]
    assert not list(likelihood.parameters())


def test_bernoulli_equals_the_formula_for_points_and_images():
    logits = torch.tensor([[0.3, -2.0]])
    expected = math.log(1 / (1 + math.exp(-0.3))) + math.log(1 - 1 / (1 + math.exp(2.0)))
    assert Bernoulli().log_prob(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(expected, abs=1e-6)
    assert Bernoulli().log_prob(logits[..., None, None], torch.tensor([[[[1.0]], [[0.0]]]])).item() == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bernoulli", 256), "data.num_levels=256"),
        (("categorical", None), "continuous"),
        (("poisson", 2), "model.likelihood=poisson"),
    ],
)
def test_a_likelihood_that_does_not_fit_the_data_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        make_likelihood(*arguments)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Categorical(3), DiscretizedLogisticMixture(3, 2)], ids=str)
def test_a_likelihood_per_channel_is_that_of_each_channel_by_itself(likelihood):
    parameters = torch.randn(5, 3 * likelihood.num_parameters(1), 2, 4)
    x = torch.randint(2, (5, 3, 2, 4)).float()
    every = PerChannel(likelihood)
    assert every.num_parameters(3) == parameters.shape[1]
    of_each = list(zip(parameters.chunk(3, 1), x.chunk(3, 1), strict=True))
    expected = sum(likelihood.log_prob_per_position(part, value) for part, value in of_each)
    torch.testing.assert_close(every.log_prob_per_position(parameters, x), expected)
    means = [likelihood.mean(part) for part, _ in of_each]
    torch.testing.assert_close(every.mean(parameters), torch.cat(means, 1))
    noise = every.noise(parameters, torch.Generator().manual_seed(0))
    drawn = every.draw(parameters, noise)
    for c, (part, _) in enumerate(of_each):
        own = likelihood.draw(part, tuple(n[:, c : c + 1].flatten(0, 1) for n in noise))
        assert torch.equal(drawn[:, c : c + 1], own)
