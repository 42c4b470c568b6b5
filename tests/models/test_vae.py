"""The VAE's bounds against mathematics that needs no VAE."""

import math
from typing import Any, ClassVar

import lightning
import pytest
import torch
from built import LINEAR, VAE
from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import DummyLogger
from support import build, fit
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pmodel.data.batch import Batch
from pmodel.distributions.normal import StandardNormal

SCALE = 0.5


@pytest.fixture
def linear_gaussian() -> tuple[VAE, MultivariateNormal, torch.Tensor]:
    """A VAE with p(x | z) = N(Wz + b, s²I), whose marginal is N(b, WWᵀ + s²I); its encoder is off, as real ones are."""
    torch.manual_seed(0)
    model = VAE([3], None, 2, "gaussian", LINEAR, {}, {}, likelihood_scale=SCALE).eval()
    decoder: nn.Linear = model.decoder.net[0]
    weight, bias = decoder.weight.detach(), decoder.bias.detach()
    marginal = MultivariateNormal(bias, weight @ weight.T + SCALE**2 * torch.eye(3))
    # The exact posterior, then moved off it: a bound that equals log p(x) would prove nothing.
    covariance = torch.linalg.inv(torch.eye(2) + weight.T @ weight / SCALE**2)
    encoder: nn.Linear = model.encoder.net[0]
    with torch.no_grad():
        encoder.weight[:2] = covariance @ weight.T / SCALE**2
        encoder.bias[:2] = -encoder.weight[:2] @ bias + 0.3
        encoder.weight[2:] = 0
        encoder.bias[2:] = covariance.diagonal().log() + 0.4
    return model, marginal, marginal.sample((64,))


def test_importance_weighted_bound_rises_to_the_exact_marginal_as_k_grows(linear_gaussian):
    model, marginal, x = linear_gaussian
    exact = marginal.log_prob(x).mean().item()
    means = []
    for k in (1, 2, 8, 64, 2000):
        bounds = [model.importance_bound(x, k, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
        means.append(torch.stack(bounds).mean().item())
    assert means == sorted(means)
    assert means[0] < exact - 0.1
    assert means[-1] == pytest.approx(exact, abs=5e-3)


def test_elbo_with_one_sample_is_the_expectation_of_the_formula(linear_gaussian):
    model, _, x = linear_gaussian
    mean, log_var = model.posterior(x)
    q = Normal(mean, (0.5 * log_var).exp())
    z = q.sample((4000,))
    log_p = Normal(model.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2]), SCALE).log_prob(x).sum(-1)
    expected = (log_p + (Normal(0, 1).log_prob(z) - q.log_prob(z)).sum(-1)).mean().item()
    estimates = torch.stack([model.elbo(x).mean() for _ in range(500)])
    assert estimates.mean().item() == pytest.approx(expected, abs=0.05)
    assert -sum(model.loss(Batch(x, None))["loss"].mean().item() for _ in range(500)) / 500 == pytest.approx(
        expected, abs=0.05
    )


def test_bound_does_not_depend_on_how_its_samples_are_split(linear_gaussian, monkeypatch):
    model, _, x = linear_gaussian
    whole = model.importance_bound(x, 50, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr("pmodel.models.latent_variable.MAX_NUMBERS", 7 * x.numel())
    parts = model.importance_bound(x, 50, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


def test_kl_equals_pytorchs():
    mean, log_var = torch.randn(6, 4), torch.randn(6, 4)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(StandardNormal(mean.shape[1]).kl_from(mean, log_var), expected)


def test_beta_weighs_the_kl_alone():
    model, data = build("data.limit=16", "model.beta=3")
    terms = model.loss(data.examples("train", 16))
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 3 * terms["kl"])
    torch.testing.assert_close(terms["elbo"], -terms["reconstruction"] - terms["kl"])


def test_free_bits_give_no_gradient_below_their_limit():
    model, data = build("data.limit=16", "model.free_bits=1000")
    batch = data.examples("train", 16)
    terms = model.loss(batch)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 1000.0 * model.latent_dim)
    (with_free,) = torch.autograd.grad(terms["loss"].mean(), model.encoder.net[0].weight, retain_graph=True)
    (reconstruction,) = torch.autograd.grad(terms["reconstruction"].mean(), model.encoder.net[0].weight)
    torch.testing.assert_close(with_free, reconstruction)


def test_free_bits_are_those_of_the_mean_over_the_batch():
    model, data = build("data.limit=16", "model.free_bits=1")
    batch = data.examples("train", 16)
    kl = model.prior.kl_from(*model.posterior(batch.x))
    model.free_bits = kl.mean(0).median().item()
    terms = model.loss(batch)
    counted = kl.where(kl.mean(0) > model.free_bits, model.free_bits).sum(1)
    torch.testing.assert_close(terms["loss"] - terms["reconstruction"], counted, rtol=1e-3, atol=1e-3)
    # Dimensions above the limit have examples below it, and the other way round.
    assert ((kl > model.free_bits) != (kl.mean(0) > model.free_bits)).any()


def test_fixed_generator_gives_the_same_codes_for_samples_and_latents():
    model, _ = build()
    z = model.sample_latents(5, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    torch.testing.assert_close(model.sample_latents(5, generator=generator), z)
    expected = model.likelihood.sample(model.decoder(z), generator=generator)
    torch.testing.assert_close(model.sample(5, generator=torch.Generator().manual_seed(1)), expected)


def test_samples_lie_on_the_levels_of_the_data():
    for overrides, levels in ((["data=digits"], 17), (["data=digits", "data.binarize=threshold"], 2)):
        model, _ = build(*overrides)
        x = model.sample(8) * (levels - 1)
        torch.testing.assert_close(x, x.round(), atol=1e-4, rtol=0)
        assert x.min() >= 0
        assert x.max() <= levels - 1


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [[1, 8, 8], [3, 8, 8], [1, 28, 28], [3, 13, 9]])
@pytest.mark.parametrize("likelihood", ["categorical", "discretized_logistic"])
def test_every_network_takes_every_image_size(network, shape, likelihood):
    model, _ = build(
        f"model/network={network}", f"model.data_shape={shape}", "model.num_levels=4", f"model.likelihood={likelihood}"
    )
    x = torch.rand(2, *shape).mul(3).round() / 3
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(3).shape == (3, *shape)
    assert model.importance_bound(x, 3).shape == (2,)


def test_bound_uses_the_sum_over_pixels_in_nats():
    """An untrained decoder with zero weights gives each of 64 binary pixels probability 1/2."""
    model, data = build("data.binarize=threshold", "data.limit=8")
    nn.init.zeros_(model.decoder.net[-1].weight)
    nn.init.zeros_(model.decoder.net[-1].bias)
    terms = model.loss(data.examples("train", 8))
    torch.testing.assert_close(terms["reconstruction"], torch.full((8,), 64 * math.log(2)))


def test_points_need_the_mlp():
    with pytest.raises(ValueError, match="model/network=mlp"):
        build("data=points", "model/network=conv")


def test_training_with_k_samples_maximizes_the_bound_that_elbo_estimates(linear_gaussian):
    model, _, x = linear_gaussian
    model.num_importance_samples = 4
    losses = torch.stack([model.loss(Batch(x, None))["loss"].mean() for _ in range(400)])
    bounds = torch.stack([model.importance_bound(x, 4).mean() for _ in range(400)])
    assert losses.mean().item() == pytest.approx(-bounds.mean().item(), abs=0.03)


def test_gradient_with_k_samples_weighs_each_by_its_normalized_weight(linear_gaussian):
    """Burda et al., equation 14."""
    model, _, x = linear_gaussian
    model.num_importance_samples = 5
    torch.manual_seed(1)
    model.loss(Batch(x, None))["loss"].mean().backward()
    gradient = model.decoder.net[0].weight.grad.clone()
    model.zero_grad()
    torch.manual_seed(1)
    noise = torch.randn(len(x), 5, 2).transpose(0, 1)
    log_likelihood, log_ratio = model.log_weights(x, model.posterior(x), noise)
    weights = (log_likelihood + log_ratio).softmax(0).detach()
    (-(weights * (log_likelihood + log_ratio)).sum(0).mean()).backward()
    torch.testing.assert_close(model.decoder.net[0].weight.grad, gradient)


@pytest.mark.parametrize("override", ["model.beta=2", "model.free_bits=0.1", "model.beta_warmup=5"])
def test_importance_weights_have_no_kl_to_weigh(override):
    with pytest.raises(ValueError, match=override):
        build("model.num_importance_samples=5", override)


def test_a_model_says_what_its_loss_is():
    meanings = {words: build(*words)[0].meanings["loss"] for words in ((), ("model.num_importance_samples=5",))}
    assert list(meanings.values()) == [f"what training minimizes: K = {K}, one draw of noise" for K in (1, 5)]
    assert "model.beta" in build("model.beta=2")[0].meanings["loss"]


class Betas(Callback):
    """β in each batch of a training; of its first batch the terms, and the gradient that its loss left."""

    def __init__(self) -> None:
        self.seen, self.terms, self.gradient = [], [], None

    def on_before_backward(self, trainer: Any, model: Any, loss: torch.Tensor) -> None:
        self.seen.append(model.current_beta)
        self.terms.append({name: term.clone() for name, term in model.last_terms.items()})

    def on_after_backward(self, trainer: Any, model: Any) -> None:
        if self.gradient is None:
            self.gradient = model.encoder.net[0].weight.grad.clone()


WARM = ["data.limit=64", "data.batch_size=16", "model.latent_dim=3", "model.beta=2"]


def warmed(*overrides: str, **settings: Any) -> tuple[Any, Any, Betas]:
    """A model that was trained for two epochs of four batches, its data, and what was seen."""
    lightning.seed_everything(0, verbose=False)
    model, data = build(*WARM, *overrides)
    betas = Betas()
    fit(model, data, callbacks=[betas], **settings)
    return model, data, betas


def test_beta_rises_linearly_over_the_first_steps():
    model, data, betas = warmed("model.beta_warmup=5")
    assert betas.seen == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2, 2, 2])
    for beta, terms in zip(betas.seen, betas.terms, strict=True):
        torch.testing.assert_close(terms["loss"], terms["reconstruction"] + beta * terms["kl"])
    # Neither validation nor who asks the model afterwards sees it.
    terms = model.train().loss(data.examples("train", 8))
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 2 * terms["kl"])
    assert model.ending is None


def test_validation_has_the_whole_beta_while_training_warms_it_up():
    losses = []
    for steps in (0, 10**6):
        model, _, betas = warmed(f"model.beta_warmup={steps}", "model.optimizer.lr=0", max_epochs=1)
        losses.append(model.trainer.callback_metrics["val/loss"].item())
    assert betas.seen[-1] < 1e-5
    assert losses[0] == losses[1]
    assert model.ending == "model.beta_warmup=1000000: training has ended before it, after 4 steps"


def test_the_first_step_of_a_warm_up_knows_no_kl():
    _, _, warm = warmed("model.beta_warmup=5", max_epochs=1)
    _, _, without = warmed("model.beta=0", max_epochs=1)
    _, _, whole = warmed(max_epochs=1)
    assert torch.equal(warm.gradient, without.gradient)
    assert not torch.allclose(warm.gradient, whole.gradient)


def test_accumulated_batches_are_one_step_of_the_warm_up():
    _, _, betas = warmed("model.beta_warmup=2", accumulate_grad_batches=2)
    assert betas.seen == [0, 0, 1, 1, 2, 2, 2, 2]


def test_loggers_get_beta_while_there_is_a_warm_up(tmp_path):
    class Rows(DummyLogger):
        seen: ClassVar[list] = []

        def log_metrics(self, metrics: dict, step: int | None = None) -> None:
            self.seen.append(metrics.get("step/beta"))

    model, data = build(*WARM, "model.beta_warmup=5")
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=Rows(),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    assert [beta for beta in Rows.seen if beta is not None] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert build(*WARM)[0].changing_settings() == {}


def test_a_warm_up_that_decides_nothing_or_chooses_the_best_weights_is_refused():
    with pytest.raises(ValueError, match=r"model\.beta_warmup=5: expected 0 with model\.beta=0"):
        build("model.beta_warmup=5", "model.beta=0")
    with pytest.raises(ValueError, match=r"model\.beta_warmup=5: .* no validation examples"):
        warmed("model.beta_warmup=5", "data.num_validation=0")
