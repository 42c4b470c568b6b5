"""One Gaussian against PyTorch's."""

import math

import pytest
import torch
from built import Gaussian
from support import array_data, build, fit


def points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, 3, dtype=torch.float64, generator=generator)
    return torch.randn(700, 3, dtype=torch.float64, generator=generator) @ mixing + 1000


@pytest.mark.parametrize("covariance_type", ["full", "diagonal"])
def test_it_is_the_gaussian_with_the_mean_and_covariance_of_the_data(covariance_type):
    x = points()
    model = Gaussian([3], covariance_type, reg_covar=0.0, init_size=20)
    trainer = fit(model, array_data(x), max_epochs=10)
    assert trainer.current_epoch == 2
    covariance = x.T.cov(correction=0)
    if covariance_type == "diagonal":
        covariance = torch.diag(covariance.diagonal())
    oracle = torch.distributions.MultivariateNormal(x.mean(0), covariance)
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.gaussian_components()[2][0], covariance, rtol=1e-9, atol=1e-9)
    nll = trainer.callback_metrics["train/nll"].item()
    assert nll == pytest.approx(-oracle.log_prob(x).mean().item(), rel=1e-6)


def test_no_other_gaussian_is_more_likely():
    x = points()
    model = Gaussian([3], reg_covar=0.0)
    fit(model, array_data(x), max_epochs=3)
    best = model.log_prob(x).mean()
    for _ in range(20):
        other = Gaussian([3], reg_covar=0.0)
        other.load_state_dict(model.state_dict())
        other.gaussians.means += 0.05 * torch.randn(1, 3)
        other.gaussians.scales *= 1 + 0.05 * torch.randn(1, 3, 3)
        assert other.log_prob(x).mean() < best


@pytest.mark.parametrize("covariance_type", ["full", "diagonal"])
def test_the_regularizer_is_in_units_of_the_data(covariance_type):
    """Maximum likelihood of 2 dimensions of scale 1e-4: −15.58 nats; a regularizer of 1e-6 in any unit gave −11.96."""
    x = 1e-4 * torch.randn(1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Gaussian([2], covariance_type)
    fit(model, array_data(x), max_epochs=3)
    covariance = x.T.cov(correction=0)
    logdet = covariance.logdet() if covariance_type == "full" else covariance.diagonal().log().sum()
    nll = -model.log_prob(x).mean().item()
    assert nll == pytest.approx((1 + math.log(2 * math.pi) + logdet / 2).item(), abs=1e-6)
    drawn = model.sample(20_000, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(drawn.std(0), x.std(0), rtol=0.02, atol=0)
    assert model.ending.count("\n") == 0


def test_a_constant_dimension_is_said_and_takes_the_mean_variance():
    x = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 0, 3])
    x += 0.1
    model = Gaussian([3], "diagonal", reg_covar=1e-4)
    fit(model, array_data(x), max_epochs=3)
    variances = x.var(0, correction=0)
    torch.testing.assert_close(model.gaussian_components()[2][0, 1, 1], 1e-4 * (variances[0] + variances[2]) / 3)
    assert "in 1 of 3 directions (dimension 1: constant), and a tenth of it would add about 1.15 nats" in model.ending


def test_equal_examples_have_no_density():
    with pytest.raises(ValueError, match=r"\Adata: all training examples are equal; a density has no scale"):
        fit(Gaussian([2]), array_data(torch.full((50, 2), 0.7)))


def test_it_does_not_pretend_to_find_clusters():
    assert not hasattr(build("model=gaussian")[0], "assign")
