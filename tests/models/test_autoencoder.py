"""The autoencoder against PCA, its linear case."""

import pytest
import torch
from built import LINEAR, Autoencoder
from support import build

from pmodel.data.batch import Batch


def test_a_linear_autoencoder_reaches_the_error_of_pca():
    torch.manual_seed(0)
    basis = torch.randn(2, 6)
    x = torch.randn(200, 2) @ basis + 0.1 * torch.randn(200, 6)
    x = x - x.mean(0)
    model = Autoencoder([6], 2, LINEAR, {}, {})
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model.loss(Batch(x, None))["loss"].mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    best = torch.linalg.svdvals(x)[2:].square().sum() / 200
    assert closure().item() == pytest.approx(best.item(), rel=1e-3)
    assert model.loss(Batch(x, None))["squared_error_per_pixel"].mean().item() == pytest.approx(
        best.item() / 6, rel=1e-3
    )


def test_cross_entropy_reads_outputs_as_logits():
    model, data = build("model=autoencoder", "model.reconstruction_loss=cross_entropy", "data.limit=4")
    x = data.examples("train", 4).x
    p = model.reconstruct(x)
    assert (p > 0).all()
    assert (p < 1).all()
    expected = -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
    torch.testing.assert_close(model.loss(Batch(x, None))["loss"], expected, atol=1e-4, rtol=1e-5)


def test_an_autoencoder_does_not_pretend_to_have_a_density():
    model, _ = build("model=autoencoder")
    assert not any(hasattr(model, name) for name in ("log_prob", "elbo", "sample"))
