"""The hierarchical VAE's bounds against a linear Gaussian chain, whose marginal is known."""

import math

import pytest
import torch
from built import LINEAR, HierarchicalVAE
from support import build
from torch.distributions import MultivariateNormal, Normal

from pmodel.data.batch import Batch

SCALE = 0.5


@pytest.fixture
def chain() -> tuple[HierarchicalVAE, MultivariateNormal, torch.Tensor]:
    """x = W h₁ + s ε with h₁ = V h₂ + σ ε, h₂ ~ N(0, I), and posteriors that are not the exact ones."""
    torch.manual_seed(0)
    model = HierarchicalVAE(
        [3], None, [3, 2], [[]], "tanh", "gaussian", LINEAR, {}, {}, likelihood_scale=SCALE, num_importance_samples=4
    ).eval()
    decoder, down = model.decoder.net[0], model.downs[0][0]
    with torch.no_grad():
        down.weight[3:] = 0
        down.bias[3:] = torch.tensor([-0.5, 0.0, -1.0])
        # Wide posteriors, whose weights are bounded.
        for layer, size in ((model.encoder.net[0], 3), (model.ups[0][0], 2)):
            layer.weight[size:] = 0
            layer.weight[:size] *= 0.3
            layer.bias[size:] = 0.7
    W, b, V, c = decoder.weight, decoder.bias, down.weight[:3], down.bias[:3]
    covariance = W @ (V @ V.T + down.bias[3:].exp().diag()) @ W.T + SCALE**2 * torch.eye(3)
    marginal = MultivariateNormal((W @ c + b).detach(), covariance.detach())
    return model, marginal, marginal.sample((64,))


def test_bound_rises_to_the_exact_marginal_as_k_grows(chain):
    model, marginal, x = chain
    exact = marginal.log_prob(x).mean().item()
    means = []
    for k in (1, 4, 32, 4000):
        bounds = [model.importance_bound(x, k, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
        means.append(torch.stack(bounds).mean().item())
    assert means == sorted(means)
    assert means[0] < exact - 0.1
    assert means[-1] == pytest.approx(exact, abs=1e-2)


def test_weights_are_the_densities_of_torch_distributions(chain):
    model, _, x = chain
    noise = torch.randn(5, len(x), model.noise_dim)
    log_likelihood, log_ratio = model.log_weights(x, model.posterior(x), noise)
    mean, log_var = model.posterior(x)
    q1 = Normal(mean, (0.5 * log_var).exp())
    h1 = q1.mean + q1.stddev * noise[..., :3]
    mean, log_var = model.ups[0](h1).chunk(2, -1)
    q2 = Normal(mean, (0.5 * log_var).exp())
    h2 = q2.mean + q2.stddev * noise[..., 3:]
    mean, log_var = model.downs[0](h2).chunk(2, -1)
    p1 = Normal(mean, (0.5 * log_var).exp())
    expected = p1.log_prob(h1).sum(-1) + Normal(0.0, 1.0).log_prob(h2).sum(-1)
    expected = expected - q1.log_prob(h1).sum(-1) - q2.log_prob(h2).sum(-1)
    torch.testing.assert_close(log_ratio, expected, atol=1e-4, rtol=1e-4)
    expected = Normal(model.decoder(h1.flatten(0, 1)).unflatten(0, h1.shape[:2]), SCALE).log_prob(x).sum(-1)
    torch.testing.assert_close(log_likelihood, expected, atol=1e-4, rtol=1e-4)


def test_training_maximizes_the_bound_that_elbo_estimates(chain):
    model, _, x = chain
    losses = torch.stack([model.loss(Batch(x, None))["loss"].mean() for _ in range(400)])
    bounds = torch.stack([model.importance_bound(x, 4).mean() for _ in range(400)])
    assert losses.mean().item() == pytest.approx(-bounds.mean().item(), abs=0.03)


def test_samples_have_the_marginals_mean_and_covariance(chain):
    model, marginal, _ = chain
    x = model.sample(40_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(0), marginal.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), marginal.covariance_matrix, atol=0.05, rtol=0.05)


def test_bound_does_not_depend_on_how_its_samples_are_split(chain, monkeypatch):
    model, _, x = chain
    whole = model.importance_bound(x, 50, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr("pmodel.models.latent_variable.MAX_NUMBERS", 7 * x.numel())
    parts = model.importance_bound(x, 50, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


def test_one_layer_of_latents_is_the_vae():
    torch.manual_seed(0)
    one, data = build("model=vae_hierarchical", "model.latent_dims=[16]", "model.hidden_dims=[]")
    vae, _ = build("model=vae")
    vae.load_state_dict(one.state_dict())
    x = data.examples("train", 8).x
    bounds = [model.importance_bound(x, 5, generator=torch.Generator().manual_seed(0)) for model in (one, vae)]
    torch.testing.assert_close(*bounds, atol=1e-3, rtol=1e-5)


def test_an_untrained_decoder_gives_each_binary_pixel_a_half():
    model, data = build("model=vae_hierarchical", "data.binarize=threshold", "data.limit=8")
    torch.nn.init.zeros_(model.decoder.net[-1].weight)
    torch.nn.init.zeros_(model.decoder.net[-1].bias)
    terms = model.loss(data.examples("train", 8))
    torch.testing.assert_close(terms["reconstruction"], torch.full((8,), 64 * math.log(2)))


def test_a_perceptron_stands_between_each_two_layers_of_latents():
    with pytest.raises(ValueError, match=r"model\.hidden_dims=\[\]: expected 1 lists"):
        build("model=vae_hierarchical", "model.hidden_dims=[]")
