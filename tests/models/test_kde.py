"""Kernel density estimation against scikit-learn's and SciPy's."""

import lightning
import pytest
import torch
from built import KDE
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity
from support import array_data, build, fit

from pmodel.data import mixtures
from pmodel.data.digits import read_digits
from pmodel.models import kde


def fitted(x: torch.Tensor, bandwidth: float | str, **settings) -> KDE:
    lightning.seed_everything(0, verbose=False)
    model = KDE(list(x.shape[1:]), None, bandwidth, **settings)
    trainer = fit(model, array_data(x), max_epochs=10)
    assert trainer.current_epoch == 1
    return model


def plane(offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(300, 2, dtype=torch.float64, generator=generator) * torch.tensor([1.0, 5.0]) + offset


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_log_prob_is_scikit_learns(offset):
    # Examples are kept in float32, so the oracle gets them as they are kept.
    x = plane(offset).float().double()
    oracle = KernelDensity(bandwidth=0.3, rtol=1e-12).fit(x.numpy())
    model = fitted(x.float(), 0.3)
    there = plane(offset) + 0.5
    torch.testing.assert_close(
        model.log_prob(there), torch.from_numpy(oracle.score_samples(there.numpy())), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_the_rules_are_scipys_on_the_line(rule):
    x = mixtures.mixture_1d().sample(400, torch.Generator().manual_seed(0))[0]
    oracle = gaussian_kde(x[:, 0].double().numpy(), rule)
    there = torch.linspace(-5, 5, 50, dtype=torch.float64)[:, None]
    expected = torch.from_numpy(oracle.logpdf(there[:, 0].numpy()))
    torch.testing.assert_close(fitted(x, rule).log_prob(there), expected, rtol=1e-9, atol=1e-9)


def test_a_bandwidth_per_dimension_follows_the_scale_of_each():
    model = fitted(plane().float(), "scott")
    ratio = model.bandwidths[1] / model.bandwidths[0]
    assert ratio.item() == pytest.approx((plane()[:, 1].std() / plane()[:, 0].std()).item(), rel=1e-6)
    same = fitted(plane().float(), "scott", kernel="isotropic")
    assert same.bandwidths[0] == same.bandwidths[1]


@pytest.mark.parametrize("bandwidth", ["scott", "held_out", 0.5])
def test_the_density_integrates_to_one(bandwidth):
    model = fitted(plane().float(), bandwidth)
    a = torch.linspace(-8, 8, 300, dtype=torch.float64)
    b = torch.linspace(-40, 40, 500, dtype=torch.float64)
    total = model.log_prob(torch.cartesian_prod(a, b)).exp().sum() * (a[1] - a[0]) * (b[1] - b[0])
    assert total.item() == pytest.approx(1, abs=1e-4)


def test_the_held_out_bandwidth_is_the_best_of_all_on_the_held_out_examples():
    x = mixtures.mixture_1d().sample(500, torch.Generator().manual_seed(0))[0]
    model = fitted(x, "held_out", num_held_out=200)
    order = torch.randperm(500, generator=model.start_generator())
    held_out, others = x[order[:200]].double().numpy(), x[order[200:]].double().numpy()

    def score(h: float) -> float:
        return KernelDensity(bandwidth=h, rtol=1e-12).fit(others).score(held_out)

    chosen = model.bandwidths.item()
    grid = [chosen * 10**exponent for exponent in torch.linspace(-2, 2, 41).tolist()]
    assert score(chosen) >= max(score(h) for h in grid) - 1e-3
    truth = mixtures.mixture_1d()
    there = truth.sample(2000, torch.Generator().manual_seed(1))[0]
    loss = (truth.log_prob(there) - model.log_prob(there)).mean().item()
    assert loss < (truth.log_prob(there) - fitted(x, "scott").log_prob(there)).mean().item()


def test_small_blocks_give_the_same_density(monkeypatch):
    x = plane().float()
    model = fitted(x, "scott")
    whole = model.log_prob(x)
    monkeypatch.setattr(kde, "CHUNK", 600)
    monkeypatch.setattr(kde, "BLOCK", 37)
    torch.testing.assert_close(model.log_prob(x), whole)


def test_draws_have_the_variance_of_the_data_and_the_kernel():
    x = plane().float()
    model = fitted(x, 0.7)
    draws = model.sample(100_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), x.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(draws.var(0), x.var(0, correction=0) + 0.49, rtol=0.02, atol=0)


def test_levels_are_kept_as_bytes_without_loss():
    model, data = build("model=kde", "data=digits", "data.limit=200", "model.bandwidth=0.5")
    fit(model, data)
    assert model.examples.dtype == torch.uint8
    x = data.examples("train", 200).x.flatten(1).double()
    kept = model.examples.double() / 16
    torch.testing.assert_close(kept, x, atol=1e-7, rtol=0)
    oracle = KernelDensity(bandwidth=0.5, rtol=1e-12).fit(kept.numpy())
    there = read_digits()[0][:20].double() / 16
    expected = torch.from_numpy(oracle.score_samples(there.flatten(1).numpy()))
    torch.testing.assert_close(model.log_prob(there), expected)


def test_the_order_of_the_examples_does_not_follow_the_batches():
    x = plane().float()
    models = []
    for batch_size in (7, 300):
        model = KDE([2], None)
        lightning.seed_everything(0, verbose=False)
        fit(model, array_data(x, batch_size))
        models.append(model)
    assert torch.equal(models[0].examples, models[1].examples)
    torch.testing.assert_close(models[0].bandwidths, models[1].bandwidths)


def test_a_constant_dimension_is_named():
    x = torch.cat([torch.randn(30, 1), torch.ones(30, 1)], 1)
    with pytest.raises(ValueError, match=r"model\.kernel=diagonal: dimension 1 is constant"):
        fitted(x, "scott")
    assert fitted(x, 0.1).log_prob(x).isfinite().all()
