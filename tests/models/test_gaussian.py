"""One Gaussian against PyTorch's."""

import pytest
import torch
from support import array_data, build, fit

from pmodel.models.gaussian import Gaussian


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


def test_it_does_not_pretend_to_find_clusters():
    assert not hasattr(build("model=gaussian")[0], "assign")


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"model\.reg_covar=-1\.0"):
        build("model=gaussian", "model.reg_covar=-1.0")
