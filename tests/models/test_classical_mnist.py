"""k-means, PCA and mixtures on the real MNIST against what scikit-learn gave; `pytest -m slow -s` prints ours."""

import statistics
from pathlib import Path

import lightning
import pytest
import torch
from support import build, fit

from pmodel.metrics.clustering import clustering_scores

pytestmark = [pytest.mark.slow, pytest.mark.mnist]
NAMES = ("clustering_accuracy", "nmi", "ari")


def scores(data_dir: Path, seeds: range, *overrides: str) -> dict[str, tuple[float, float]]:
    """Mean and spread over seeds of the clustering scores on the 60,000 training images."""
    runs = []
    for seed in seeds:
        lightning.seed_everything(seed, verbose=False)
        model, data = build(*overrides, f"data_dir={data_dir}", f"seed={seed}")
        fit(model, data, max_epochs=300)
        x, label = data.examples("train", 60_000)
        runs.append(clustering_scores(torch.cat([model.assign(part) for part in x.split(5000)]), label))
    found = {name: [run[name] for run in runs] for name in NAMES}
    summary = {name: (statistics.mean(values), statistics.stdev(values)) for name, values in found.items()}
    print(*overrides, {name: f"{mean:.3f} (sd {spread:.3f})" for name, (mean, spread) in summary.items()})
    return summary


def test_k_means_scores_over_ten_seeds_are_scikit_learns(data_dir):
    expected = {"clustering_accuracy": (0.545, 0.043), "nmi": (0.496, 0.023), "ari": (0.377, 0.031)}
    for name, (mean, _) in scores(data_dir, range(10), "experiment=kmeans_mnist").items():
        assert abs(mean - expected[name][0]) < expected[name][1]


@pytest.mark.parametrize(
    ("covariance_type", "expected"), [("full", (0.604, 0.621, 0.450)), ("diagonal", (0.489, 0.506, 0.283))]
)
def test_scores_of_a_mixture_on_50_components_are_scikit_learns(covariance_type, expected, data_dir):
    """One run of scikit-learn is the reference, so it must lie within two standard deviations of ours."""
    found = scores(data_dir, range(6), "experiment=gmm_mnist", f"model.covariance_type={covariance_type}")
    for name, reference in zip(NAMES, expected, strict=True):
        mean, spread = found[name]
        assert abs(mean - reference) < 2 * spread, name


@pytest.mark.parametrize(
    ("num_components", "error", "explained"),
    [
        *((2, 0.0557, 0.168), (16, 0.0269, 0.594), (32, 0.0168, 0.744)),
        # Of 64, scikit-learn's exact solver gives .0090468; .0091 in the table is that, rounded twice.
        *((50, 0.0115, 0.825), (64, 0.0090, 0.862), (100, 0.0056, 0.915)),
    ],
)
def test_pca_error_and_explained_variance_to_the_last_digit(num_components, error, explained, data_dir):
    model, data = build("experiment=pca_mnist", f"model.num_components={num_components}", f"data_dir={data_dir}")
    trainer = fit(model, data)
    x = data.examples("test", 10_000).x
    found = (x - model.reconstruct(x)).double().square().mean().item()
    print(f"PCA {num_components}: test squared error per pixel {found:.5f}", dict(trainer.callback_metrics))
    assert found == pytest.approx(error, abs=5.01e-5)
    assert trainer.callback_metrics["train/explained_variance"].item() == pytest.approx(explained, abs=5.01e-4)
