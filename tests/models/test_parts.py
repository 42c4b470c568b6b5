"""A finished run's model as a part of another one."""

import shutil
from pathlib import Path

import pytest
import torch
from built import GMM, LINEAR, VAE
from conftest import train_in
from support import array_data, fit
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from pmodel import build
from pmodel.runs.opening import open_run

SCALE = 0.5
WEIGHTS = torch.tensor([0.25, 0.75])
MEANS = torch.tensor([[-2.0, 0.5], [1.0, 1.0]])
COVARIANCES = torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]])
SMALL = ["data=digits", "data.limit=200", "callbacks=minimal", "logger=none"]
NARROW = ["model.network.encoder.hidden_dims=[16]", "model.network.decoder.hidden_dims=[16]", "model.latent_dim=3"]


@pytest.fixture
def with_mixture() -> tuple[nn.Module, MixtureSameFamily, torch.Tensor]:
    """A VAE with p(x | z) = N(Wz + b, s²I) and a mixture for p(z), and its marginal, which is a mixture too."""
    torch.manual_seed(0)
    model = VAE([3], None, 2, "gaussian", LINEAR, {}, {}, likelihood_scale=SCALE).eval()
    prior = GMM([2], 2, "full")
    prior.weights.copy_(WEIGHTS)
    prior.gaussians.means.copy_(MEANS)
    prior.gaussians.scales.copy_(torch.linalg.cholesky(COVARIANCES.double()))
    model.prior, model.has_exact_kl = prior, False
    with torch.no_grad():  # q(z | x) is wide, and the same for each x
        encoder = model.encoder.net[0]
        encoder.weight.zero_()
        encoder.bias.copy_(torch.cat([WEIGHTS @ MEANS, torch.full((2,), 1.2)]))
    W, b = model.decoder.net[0].weight.detach(), model.decoder.net[0].bias.detach()
    parts = MultivariateNormal(MEANS @ W.T + b, W @ COVARIANCES @ W.T + SCALE**2 * torch.eye(3))
    marginal = MixtureSameFamily(Categorical(WEIGHTS), parts)
    return model, marginal, marginal.sample((64,))


def test_the_bound_with_a_mixture_as_prior_rises_to_the_marginal_in_closed_form(with_mixture):
    model, marginal, x = with_mixture
    exact = marginal.log_prob(x).mean().item()
    means = []
    for k in (1, 8, 64, 2000):
        bounds = [model.importance_bound(x, k, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
        means.append(torch.stack(bounds).mean().item())
    assert means == sorted(means)
    assert means[0] < exact - 0.1
    assert means[-1] == pytest.approx(exact, abs=2e-2)


def test_the_elbo_with_a_mixture_as_prior_is_the_expectation_of_the_formula(with_mixture):
    model, _, x = with_mixture
    mean, log_var = model.posterior(x)
    q = Normal(mean, (0.5 * log_var).exp())
    z = q.sample((4000,))
    log_p = Normal(model.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2]), SCALE).log_prob(x).sum(-1)
    log_prior = MixtureSameFamily(Categorical(WEIGHTS), MultivariateNormal(MEANS, COVARIANCES)).log_prob(z)
    expected = (log_p + log_prior - q.log_prob(z).sum(-1)).mean().item()
    estimates = torch.stack([model.elbo(x).mean() for _ in range(1000)])
    assert estimates.mean().item() == pytest.approx(expected, abs=0.1)


def test_samples_of_codes_are_the_priors(with_mixture):
    model, _, _ = with_mixture
    z = model.sample_latents(4000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), WEIGHTS @ MEANS, atol=0.1, rtol=0)


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> tuple[Path, Path]:
    """A VAE of digits, and a mixture fitted on its codes."""
    root = tmp_path_factory.mktemp("stages")
    first, table, second = root / "first", root / "codes.csv", root / "second"
    train_in(root, ["model=vae", *SMALL, *NARROW, "trainer.max_epochs=2", f"paths.run_dir={first}"])
    run = open_run(first)
    codes = run.model.encode(run.data.examples("train", 200).x)
    table.write_text("\n".join(",".join(f"{value:.9g}" for value in row) for row in codes.tolist()), encoding="utf-8")
    words = ["model=gmm", "model.num_components=2", "data=table", f"data.path={table}", "data.header=false"]
    train_in(root, [*words, "callbacks=minimal", "logger=none", f"paths.run_dir={second}"])
    return first, second


def test_a_vae_has_the_mixture_on_a_finished_runs_codes_as_its_prior(stages, train, evaluate, tmp_path: Path):
    mixture = shutil.copytree(stages[1], tmp_path / "mixture")
    third = tmp_path / "third"
    words = ["model=vae", *SMALL, *NARROW, "model/prior=run", f"model.prior.run={mixture}", f"paths.run_dir={third}"]
    outcome = train(*words, "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    of_the_run = {f"prior.{name}": value for name, value in open_run(mixture).model.state_dict().items()}
    shutil.rmtree(mixture)
    model = open_run(third).model
    kept = {name: value for name, value in model.state_dict().items() if name.startswith("prior.")}
    assert kept.keys() == of_the_run.keys()
    assert all(torch.equal(kept[name], of_the_run[name]) for name in kept)
    assert torch.isfinite(model.elbo(torch.zeros(2, 1, 8, 8))).all()
    resumed = train(f"resume={third}", "trainer.max_epochs=3")
    assert resumed.code == 0, resumed.err
    after = open_run(third / "checkpoints" / "last.ckpt").model
    assert torch.equal(after.prior.gaussians.means, model.prior.gaussians.means)
    assert not torch.equal(after.encoder.net[0].weight, model.encoder.net[0].weight)
    assert evaluate(f"run={third}", "callbacks.figures=null", "metric.likelihood.num_samples=5").code == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (["model.latent_dim=4"], "expected a model of codes [4] (model.latent_dim), and it is of [3]"),
        (["model.free_bits=1"], "model.free_bits=1: expected 0 with model/prior=run"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused_in_one_line(stages, train, tmp_path: Path, change, expected: str):
    words = ["model=vae", *SMALL, *NARROW, "model/prior=run", f"model.prior.run={stages[1]}", *change]
    outcome = train(*words, f"paths.run_dir={tmp_path / 'third'}")
    assert outcome.code == 2
    assert expected in outcome.err
    assert not (tmp_path / "third").exists()


def test_a_model_without_a_density_is_no_prior(stages, train, tmp_path: Path):
    words = ["model=vae", *SMALL, *NARROW, "model/prior=run", f"model.prior.run={stages[0]}"]
    outcome = train(*words)
    assert outcome.code == 2
    assert "expected a model with a density that draws samples, and VAE is none" in outcome.err


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_mixture_as_prior_is_refused_in_a_precision_that_its_float64_does_not_survive(stages, precision: str):
    model = build("model=vae", "data=digits", prior={"run": str(stages[1])}, latent_dim=3)
    with pytest.raises(ValueError, match=f"trainer.precision={precision}: expected 32-true or bf16-mixed, since model"):
        fit(model, array_data(torch.rand(8, 1, 8, 8).round(), num_levels=2), precision=precision)


@pytest.mark.parametrize("typed", [[], ["model.prior.run=null"], ["model.prior.run=''"], ["model.prior.run=nowhere"]])
def test_a_prior_without_a_run_is_refused_at_once(typed: list[str], train, tmp_path: Path):
    outcome = train("model=vae", *SMALL, "model/prior=run", *typed)
    assert outcome.code == 2
    assert "model.prior.run" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not [*tmp_path.glob("logs/*")]


def test_a_mixture_that_was_cut_before_its_first_fit_is_no_prior(stages, train, tmp_path: Path):
    cut = tmp_path / "cut"
    words = ["model=gmm", "data=table", f"data.path={stages[0].parent / 'codes.csv'}", "data.header=false"]
    small = ["data.batch_size=50", "trainer.max_steps=1", "callbacks=minimal", "logger=none"]
    assert train(*words, *small, f"paths.run_dir={cut}").code == 0
    with pytest.raises(ValueError, match="expected a model that is fitted, and the run was cut"):
        build("model=vae", "data=digits", prior={"run": str(cut)}, latent_dim=3)


def test_training_begins_with_the_networks_of_a_run(stages):
    first = open_run(stages[0]).model
    second = build("model=vae", "data=digits", network={"run": str(stages[0])}, latent_dim=3)
    x = torch.rand(5, 1, 8, 8)
    expected, found = (model.elbo(x, generator=torch.Generator().manual_seed(0)) for model in (first, second))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in second.encoder.parameters())
    assert second.hparams["network"] == first.hparams["network"]


def test_networks_of_another_size_are_refused(stages):
    with pytest.raises(
        ValueError,
        match=r"its encoder is of another size; expected the run's data, model.likelihood and model.latent_dim",
    ):
        build("model=vae", "data=digits", network={"run": str(stages[0])}, latent_dim=4)


def test_a_model_without_networks_gives_none(stages):
    with pytest.raises(ValueError, match="expected a model with an encoder and a decoder"):
        build("model=vae", "data=digits", network={"run": str(stages[1])})


@pytest.mark.parametrize(
    ("name", "settings"),
    [("gaussian", {}), ("gmm", {}), ("pca", {"num_components": 2}), ("pca_gmm", {"num_dims": 2})],
)
def test_the_density_of_a_prior_has_the_gradient_of_its_differences(name: str, settings: dict):
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    model = build(f"model={name}", "data=points", data_shape=[3], **settings)
    fit(model, array_data(x), max_epochs=3)
    z = x[:5].double().requires_grad_()
    (found,) = torch.autograd.grad(model.log_prob(z).sum(), z)
    steps = 1e-5 * torch.eye(3, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([(model.log_prob(z + d) - model.log_prob(z - d)) / 2e-5 for d in steps], 1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_density_without_a_gradient_is_no_prior(train, tmp_path: Path):
    table = tmp_path / "codes.csv"
    table.write_text("".join(f"{i / 7},{i * i / 50},{(-1) ** i * i}\n" for i in range(40)), encoding="utf-8")
    words = ["model=kde", "data=table", f"data.path={table}", "callbacks=minimal", "logger=none"]
    assert train(*words, f"paths.run_dir={tmp_path / 'kde'}").code == 0
    with pytest.raises(ValueError, match="expected a model whose log_prob has a gradient, and that of KDE has none"):
        build("model=vae", "data=digits", prior={"run": str(tmp_path / "kde")}, latent_dim=3)


def test_a_mixture_of_standardized_codes_is_no_prior(stages, train, tmp_path: Path):
    words = ["model=gmm", "data=table", f"data.path={stages[0].parent / 'codes.csv'}", "data.header=false"]
    small = ["data.standardize=true", "callbacks=minimal", "logger=none", f"paths.run_dir={tmp_path / 'scaled'}"]
    assert train(*words, *small).code == 0
    with pytest.raises(ValueError, match=r"expected a run with data.standardize=false, whose model has the units"):
        build("model=vae", "data=digits", prior={"run": str(tmp_path / "scaled")}, latent_dim=3)
