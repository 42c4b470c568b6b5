"""PCA against the singular value decomposition, probabilistic PCA against scikit-learn's density."""

import re

import pytest
import torch
from built import PCA, DensityFigure
from sklearn import decomposition
from support import array_data, build, fit

from pmodel.data.batch import Batch
from pmodel.data.digits import read_digits
from pmodel.figures.figure import NotShown


def digits() -> torch.Tensor:
    return read_digits()[0].flatten(1).double() / 16


def fitted(x: torch.Tensor, num_components: int, **settings) -> PCA:
    model = PCA([x.shape[1]], num_components, **settings)
    trainer = fit(model, array_data(x), max_epochs=10)
    assert trainer.current_epoch == 1
    model.trainer_metrics = trainer.callback_metrics
    return model


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_components_are_the_right_singular_vectors_up_to_sign(offset):
    x = digits()
    model = fitted(x + offset, 12)
    centred = x - x.mean(0)
    _, singular, vectors = torch.linalg.svd(centred, full_matrices=False)
    signs = (model.axes.components * vectors[:12]).sum(1, keepdim=True).sign()
    torch.testing.assert_close(model.axes.components, signs * vectors[:12], atol=1e-7, rtol=0)
    torch.testing.assert_close(model.axes.variances, singular[:12].square() / (len(x) - 1), rtol=1e-9, atol=0)
    # Half a unit in the last place of 1000 in float64 is 6e-14.
    torch.testing.assert_close(model.axes.mean, x.mean(0) + offset, atol=1e-10, rtol=0)


@pytest.mark.parametrize("num_components", [1, 12, 60])
def test_log_prob_and_explained_variance_are_scikit_learns(num_components):
    x = digits()
    oracle = decomposition.PCA(num_components, svd_solver="full").fit(x.numpy())
    model = fitted(x, num_components)
    expected = torch.from_numpy(oracle.score_samples(x.numpy()))
    torch.testing.assert_close(model.log_prob(x), expected, rtol=1e-7, atol=1e-6)
    ratio = torch.from_numpy(oracle.explained_variance_ratio_)
    torch.testing.assert_close(model.principal_components()[2], ratio)
    assert model.trainer_metrics["train/explained_variance"].item() == pytest.approx(ratio.sum().item())


def test_with_all_components_the_density_is_the_gaussian_of_the_data():
    x = torch.randn(500, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64) + 5
    model = fitted(x, 4)
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov())
    torch.testing.assert_close(model.log_prob(x), gaussian.log_prob(x))
    torch.testing.assert_close(model.reconstruct(x), x)


def test_reconstruction_error_is_the_variance_left_out():
    x = digits()
    model = fitted(x, 10)
    oracle = decomposition.PCA(10, svd_solver="full").fit(x.numpy())
    expected = (x.numpy() - oracle.inverse_transform(oracle.transform(x.numpy()))) ** 2
    error = (x - model.reconstruct(x)).square().mean().item()
    assert error == pytest.approx(expected.mean(), rel=1e-9)
    assert model.trainer_metrics["train/squared_error_per_pixel"].item() == pytest.approx(error, rel=1e-6)


def test_whitened_codes_have_unit_variance_and_decode_to_the_same():
    x = digits()
    plain, white = fitted(x, 10), fitted(x, 10, whiten=True)
    torch.testing.assert_close(white.encode(x).T.cov(), torch.eye(10, dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(white.decode(white.encode(x)), plain.decode(plain.encode(x)))
    torch.testing.assert_close(white.log_prob(x), plain.log_prob(x))


def test_draws_have_the_models_mean_and_covariance():
    x = digits()[:, 20:26] * 3
    model = fitted(x, 3)
    draws = model.sample(200_000, generator=torch.Generator().manual_seed(0)).double()
    U = model.axes.components
    rest = torch.eye(6, dtype=torch.float64) - U.T @ U
    covariance = U.T @ torch.diag(model.axes.variances) @ U + model.axes.noise_variance * rest
    torch.testing.assert_close(draws.mean(0), x.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(draws.T.cov(), covariance, atol=0.02, rtol=0)


def test_columns_in_very_different_units_have_the_density_of_the_scaled_ones():
    """Of columns of sd 5e-3 beside 1e5: the small variance is 1e-15 of the large one, less than float64's rounding."""
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(500, 3, dtype=torch.float64, generator=generator)
    plain = plain @ torch.randn(3, 3, dtype=torch.float64, generator=generator)
    units = torch.tensor([5e-3, 1e5, 1.0]).double()
    expected = torch.distributions.MultivariateNormal(plain.mean(0), plain.T.cov()).log_prob(plain) - units.log().sum()
    torch.testing.assert_close(fitted(plain * units, 3).log_prob(plain * units), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("num_components", "has_density"), [(18, True), (19, False), (30, False)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_twenty_examples_vary_in_nineteen_directions(num_components, has_density, offset):
    x = digits()[:20] + offset
    model = fitted(x, num_components)
    singular = torch.linalg.svdvals(x - x.mean(0))[:19].square() / 19
    torch.testing.assert_close(model.axes.variances[:19], singular[:num_components], rtol=1e-6, atol=0)
    assert not model.axes.variances[19:].any()
    others = digits()[20:] + offset
    assert model.reconstruct(others).isfinite().all()
    if has_density:
        assert model.ending is None
        assert (model.log_prob(others) < 1e4).all()
        return
    line = f"model.num_components={num_components}: the training examples vary in 19 of 64 directions"
    assert model.ending == f"no density: {line}; expected fewer than 19, for a density"
    assert set(model.terms(Batch(others, torch.zeros(len(others))))) == {"squared_error_per_pixel"}
    with pytest.raises(ValueError, match=re.escape(line)):
        model.log_prob(others)


def test_constant_pixels_and_equal_examples_have_no_density():
    x = digits()
    assert "vary in 61 of 64 directions; expected fewer than 61" in fitted(x, 64).ending
    whitened = fitted(x, 64, whiten=True)
    assert not whitened.encode(x)[:, 61:].abs().max() > 1e-9
    torch.testing.assert_close(whitened.decode(whitened.encode(x)), x)
    assert fitted(x, 60).log_prob(x).isfinite().all()
    assert fitted(torch.ones(20, 3), 2).ending.endswith("vary in 0 of 3 directions")
    on_a_line = fitted(torch.arange(20.0)[:, None].expand(20, 2), 2)
    with pytest.raises(NotShown, match=re.escape(f"no density: {on_a_line.no_density}")):
        DensityFigure().draw(None, on_a_line)


def test_more_components_than_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"model\.num_components=65: expected 1 to 64"):
        build("model=pca", "model.num_components=65")
