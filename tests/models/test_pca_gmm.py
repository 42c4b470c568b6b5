"""A mixture on principal components against the same density written out in all dimensions."""

from itertools import pairwise

import lightning
import pytest
import torch
from built import PCAGMM
from lightning.pytorch.callbacks import LambdaCallback
from sklearn import decomposition
from sklearn.mixture import GaussianMixture
from support import array_data, build, fit
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from pmodel.data.digits import read_digits


def digits() -> torch.Tensor:
    return read_digits()[0].flatten(1).double()[:, 16:32] / 16


def fitted(x: torch.Tensor, num_dims: int, **settings) -> PCAGMM:
    lightning.seed_everything(0, verbose=False)
    model = PCAGMM([x.shape[1]], num_dims, 4, **settings)
    fit(model, array_data(x), max_epochs=200)
    return model


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diagonal", "spherical"])
def test_log_prob_is_the_mixture_of_full_gaussians_over_all_dimensions(covariance_type):
    x = digits()
    model = fitted(x, 6, covariance_type=covariance_type)
    U = model.axes.components
    rest = torch.eye(16, dtype=torch.float64) - U.T @ U
    covariances = U.T @ model.gaussians.covariances() @ U + model.axes.noise_variance * rest
    means = model.axes.mean + model.gaussians.means @ U
    oracle = MixtureSameFamily(Categorical(model.weights), MultivariateNormal(means, covariances))
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x), rtol=1e-8, atol=1e-8)
    draws = model.sample(100_000, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(draws.mean(0), oracle.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(draws.var(0), oracle.variance, atol=0.01, rtol=0)


@pytest.mark.slow
def test_the_mixture_is_a_fixed_point_of_scikit_learns_em_on_the_components():
    x = digits()
    model = fitted(x, 5, tolerance=1e-9)
    z = model.axes.encode(x).numpy()
    plain = decomposition.PCA(5, svd_solver="full").fit_transform(x.numpy())
    assert abs(plain) == pytest.approx(abs(z), abs=1e-8)
    oracle = GaussianMixture(
        4,
        weights_init=model.weights.numpy(),
        means_init=model.gaussians.means.numpy(),
        precisions_init=torch.linalg.inv(model.gaussians.covariances()).numpy(),
        tol=1e-3,
    ).fit(z)
    assert oracle.means_ == pytest.approx(model.gaussians.means.numpy(), abs=1e-3)


def test_with_all_dimensions_it_is_a_plain_mixture():
    x = digits()[:, 4:8]
    model = fitted(x, 4)
    outside = model.axes.log_prob_outside(x, model.axes.encode(x))
    assert not outside.any()
    torch.testing.assert_close(model.reconstruct(x), x)


def test_the_first_epoch_fits_the_components_and_the_others_climb():
    values = []

    watch = LambdaCallback(
        on_train_epoch_end=lambda trainer, model: values.append(
            trainer.callback_metrics.get("train/nll", torch.tensor(torch.inf)).item()
        )
    )
    lightning.seed_everything(0, verbose=False)
    fit(PCAGMM([16], 6, 4, reg_covar=0.0), array_data(digits()), max_epochs=30, callbacks=[watch])
    assert values[0] == torch.inf
    assert all(b <= a + 1e-5 for a, b in pairwise(values[1:]))


def test_more_directions_than_the_examples_vary_along_are_refused():
    """Thirty directions of 20 examples had 1e12 nats."""
    x = read_digits()[0].flatten(1).double() / 16
    for num_dims in (19, 30):
        message = (
            rf"\Amodel\.num_dims={num_dims}: 20 training examples vary in at most 19 of 64 directions; expected fewer"
        )
        with pytest.raises(ValueError, match=message):
            fit(PCAGMM([64], num_dims, 2), array_data(x[:20]))
    fit(PCAGMM([64], 18, 2), array_data(x[:20]))
    # Three pixels are constant.
    message = r"\Amodel\.num_dims=61: the training examples vary in 61 of 64 directions; expected fewer than 61, for a"
    with pytest.raises(ValueError, match=message):
        fit(PCAGMM([64], 61, 2), array_data(x))


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match=r"model\.num_dims=65: expected 1 to 64"):
        build("model=pca_gmm", "model.num_dims=65")
