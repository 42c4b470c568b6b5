"""The GAN: what its codes, samples and labels are, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F
from support import build, fit

from pmodel.metrics.modes import mode_scores
from pmodel.training.objectives import OBJECTIVES


def test_samples_are_the_decoded_codes_of_the_prior():
    model, _ = build("model=gan")
    z = model.sample_latents(5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.sample(5, generator=torch.Generator().manual_seed(1)), model.decode(z))


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_each_dimension_of_the_prior_has_mean_0_and_variance_1(prior):
    model, _ = build("model=gan", f"model.prior={prior}")
    z = model.sample_latents(20_000)
    assert z.shape == (20_000, 64)
    torch.testing.assert_close(z.mean(0), torch.zeros(64), atol=0.04, rtol=0)
    torch.testing.assert_close(z.var(0), torch.ones(64), atol=0.06, rtol=0)
    assert (z.abs().max() <= math.sqrt(3)) == (prior == "uniform")


def test_rounding_to_levels_lets_the_gradient_pass_as_if_it_were_not_there():
    model, _ = build("model=gan", "data.binarize=threshold")
    z = torch.randn(3, 64)
    x = model.generated(model.generator, z)
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    weight = model.generator.net[-1].weight
    (ours,) = torch.autograd.grad(x.square().sum() / 2 + x.sum(), weight)
    smooth = 0.5 + 0.5 * model.generator(z).tanh()
    (expected,) = torch.autograd.grad(((x.detach() + 1) * smooth).sum(), weight)
    torch.testing.assert_close(ours, expected)


def test_points_are_not_squashed():
    model, _ = build("model=gan", "data=points")
    z = torch.randn(3, 2)
    assert torch.equal(model.generated(model.generator, z), model.generator(z))
    assert torch.equal(model.score(z, z), model.discriminator(z)[:, 0])


def test_conditional_score_is_the_projection_of_the_last_features_on_the_labels_row():
    model, data = build("model=gan", "model.class_conditional=true", "data.limit=16")
    batch = data.examples("train", 8)
    codes = model.draw_codes(len(batch.x), batch.label)
    assert torch.equal(codes[:, 64:].argmax(1), batch.label)
    *below, last = model.discriminator.net
    features = (2 * batch.x - 1).flatten(1)
    for layer in below:
        features = layer(features)
    expected = features @ last.weight[0] + last.bias[0]
    expected += (features * last.weight[1 + batch.label]).sum(1) + last.bias[1 + batch.label]
    torch.testing.assert_close(model.score(batch.x, codes), expected)


def test_labels_of_generated_examples_are_drawn_evenly():
    model, _ = build("model=gan", "model.class_conditional=true")
    for codes in (model.draw_codes(20_000), model.sample_latents(20_000)):
        labels = codes[:, 64:]
        assert torch.equal(labels.sum(1), torch.ones(20_000))
        torch.testing.assert_close(labels.mean(0), torch.full((10,), 0.1), atol=0.01, rtol=0)


def test_sampled_classes_come_of_codes_with_these_labels():
    model, _ = build("model=gan", "model.class_conditional=true")
    label = torch.tensor([3, 0, 9])
    x = model.sample_classes(label, generator=torch.Generator().manual_seed(0))
    z = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, model.decode(torch.cat([z, F.one_hot(label, 10).float()], 1)))


def test_spectral_norm_bounds_the_slope_of_every_layer():
    model, data = build("model=gan", "model.spectral_norm=true", "data.limit=256")
    fit(model, data, max_epochs=5)
    layers = [m for m in model.discriminator.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=0.1)
    assert any(torch.linalg.matrix_norm(m.weight, 2) > 1.5 for m in model.generator.net[::2])


@pytest.mark.parametrize("players", ["dcgan", "resnet"])
def test_spectral_norm_is_of_convolutions_too(players):
    norm = "model.players.discriminator.norm=none"
    model, _ = build("model=dcgan", f"model/players={players}", "model.spectral_norm=true", norm)
    layers = [m for m in model.discriminator.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in layers) >= 2
    for layer in layers:
        for _ in range(20):
            weight = layer.weight  # one step of the power iteration
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)


def test_verdicts_are_probabilities_where_the_objective_has_them_and_scores_elsewhere():
    x = torch.rand(6, 1, 8, 8)
    for objective in OBJECTIVES:
        model, _ = build("model=gan", f"model.objective={objective}")
        score = model.score(x, torch.zeros(6, 64))
        said = model.discriminate(x)
        assert torch.equal(said, score.sigmoid() if objective in ("minimax", "non_saturating") else score)
        assert not said.requires_grad


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["model.class_conditional=true", "data=image_folder", "data.path=x"],
            "model.class_conditional=true: expected",
        ),
        (
            ["data=mnist", "model/players=dcgan", "model.players.discriminator.norm=batch"],
            "model.players.discriminator.norm=batch: expected layer or none with model.r1=1.0",
        ),
    ],
)
def test_settings_that_do_not_fit_each_other_are_named(overrides, said):
    with pytest.raises(ValueError, match=r"\A" + said.replace(".", r"\.")):
        build("model=gan", *overrides)


def test_examples_without_labels_are_refused_by_a_conditional_model():
    model, data = build("model=gan", "model.class_conditional=true", "data.limit=16")
    x, label = data.examples("train", 4)
    with pytest.raises(ValueError, match=r"\Amodel\.class_conditional=true: "):
        model.draw_codes(len(x), label.fill_(-1))


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_covers_a_ring_of_gaussians_with_its_defaults(objective):
    model, data = build("model=gan", "data=points", f"model.objective={objective}")
    fit(model, data, max_epochs=150, limit_val_batches=0)
    mixture = data.mixture
    samples = model.eval().sample(10_000, generator=torch.Generator().manual_seed(0))
    scores = mode_scores(samples, *(torch.tensor(p) for p in (mixture.means, mixture.stds, mixture.weights)))
    assert scores.covered >= 7
    assert scores.high_quality > 0.8
