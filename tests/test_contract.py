"""What every model of conf/model/ must do, on every small data set it takes."""

import inspect
import math
from functools import cache, partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from hydra.utils import get_class
from PIL import Image
from support import CONFIG_DIR, build, config
from torch import nn

from pmodel import capabilities
from pmodel.data.batch import Batch
from pmodel.evaluation.subject import Subject
from pmodel.instantiate import instantiate
from pmodel.models.autoregressive import AutoregressiveModule
from pmodel.nets.batch_share import share
from pmodel.runs.results import Missing
from pmodel.training.adversarial import AdversarialModule
from pmodel.training.gradient import GradientModule
from pmodel.training.streaming import StreamingModule

MODELS = sorted(file.stem for file in (CONFIG_DIR / "model").glob("*.yaml"))
DATA = {
    "digits": ["data=digits"],
    "binary": ["data=digits", "data.binarize=dynamic"],
    "colour": ["data=image_folder", "data.shape=[3,11,9]", "data.num_classes=2"],
    "points": ["data=points", "data.num_train=64", "data.num_validation=32", "data.num_test=32"],
}
# Networks to try beside the default one, for models that have the choice.
NETWORKS = {"colour": "conv"}
# What a model may leave without a gradient, and why.
NO_GRADIENT: dict[str, dict[str, str]] = {}


@cache
def settings(model_name: str) -> dict[str, Any]:
    return config(f"model={model_name}")["model"]


# These take images on levels, and no points.
AUTOREGRESSIVE = [name for name in MODELS if issubclass(get_class(settings(name)["_target_"]), AutoregressiveModule)]
CONDITIONAL = [name for name in MODELS if "class_conditional" in settings(name)]
# What a model takes none of; each in one line, see its own tests.
REFUSED = {**{name: {"points"} for name in AUTOREGRESSIVE}, "dcgan": {"points", "colour"}}
CASES = [(m, d) for m in MODELS for d in DATA if d not in REFUSED.get(m, set())]

_OF_GANS = "Samples SamplesClasses SamplesLatents Decodes Discriminates"
_OF_AUTOREGRESSIVE_ONES = "Samples SamplesClasses LogProb LogProbPerPixel Completes"
_OF_VAES = (
    "Samples SamplesLatents LowerBound ImportanceBound ContinuousDensity Encodes TrainableFeatures Decodes Reconstructs"
)
# Which model answers which questions: a method that is gone, or has another name, would only make a table shorter.
ANSWERS = {
    "autoencoder": "Encodes TrainableFeatures Decodes Reconstructs",
    "classifier": "Encodes Classifies",
    "dcgan": _OF_GANS,
    "gan": _OF_GANS,
    "gaussian": "Samples LogProb ContinuousDensity MaximizesLikelihood GaussianComponents",
    "gmm": "Samples LogProb ContinuousDensity MaximizesLikelihood Encodes Assigns Clusters GaussianComponents",
    "kde": "Samples LogProb ContinuousDensity",
    "kmeans": "Encodes Reconstructs Assigns Clusters",
    "pca": "Samples LogProb ContinuousDensity AnswersWith Encodes Decodes Reconstructs PrincipalComponents",
    "pca_gmm": "Samples LogProb ContinuousDensity MaximizesLikelihood Encodes Reconstructs Assigns Clusters"
    " PrincipalComponents",
    "pixelcnn": _OF_AUTOREGRESSIVE_ONES,
    "pixelcnn_gated": _OF_AUTOREGRESSIVE_ONES,
    "pixelcnn_pp": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn_multiscale": _OF_AUTOREGRESSIVE_ONES,
    "pixelrnn_row": _OF_AUTOREGRESSIVE_ONES,
    "vae": _OF_VAES,
    "vae_2d": _OF_VAES,
    "vae_hierarchical": _OF_VAES,
}


def is_density(model: Any) -> bool:
    return isinstance(model, capabilities.ContinuousDensity) and model.continuous_density


def write_images(folder: Path) -> None:
    """64 coloured images of 11×9 in two classes, so neither a square nor a multiple of the networks' strides."""
    pixels = torch.randint(0, 256, (64, 11, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for i, image in enumerate(pixels.numpy()):
        path = folder / ("a", "b")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)


def trained(model_name: str, data_name: str, folder: Path):
    """The model after two training steps, its data module and the trainer."""
    overrides = [*DATA[data_name], *([] if data_name == "points" else ["data.limit=64"])]
    if data_name == "colour":
        write_images(folder)
        overrides.append(f"data.path={folder}")
    if data_name in NETWORKS and "network" in settings(model_name):
        overrides.append(f"model/network={NETWORKS[data_name]}")
    if model_name == "dcgan":
        # With fewer maps, two steps leave it so grey that two draws may be rounded to the same levels.
        overrides.append("model.players.generator.channels=64")
    lightning.seed_everything(0, verbose=False)
    model, data = build(f"model={model_name}", *overrides, "data.batch_size=32")
    trainer = lightning.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    return model.eval(), data, trainer


@pytest.fixture(scope="module", params=CASES, ids=lambda p: f"{p[0]}-{p[1]}")
def case(request, tmp_path_factory):
    return request.param[0], *trained(*request.param, tmp_path_factory.mktemp("images"))


def protocols() -> dict[str, type]:
    """Those of pmodel.capabilities, by name."""
    found = inspect.getmembers(capabilities, lambda c: inspect.isclass(c) and getattr(c, "_is_protocol", False))
    return {name: protocol for name, protocol in found if name != "Protocol"}


def answers(model: nn.Module) -> list[str]:
    """The names of the protocols that a model satisfies."""
    return [name for name, protocol in protocols().items() if isinstance(model, protocol)]


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    """What training minimizes; of a game, the losses of both players."""
    if not isinstance(model, AdversarialModule):
        return model.loss(batch)["loss"].mean()
    codes = model.draw_codes(len(batch.x), batch.label)
    fake = model.score(model.generated(model.generator, codes), codes)
    return (model.objective.discriminator(model.score(batch.x, codes), fake) + model.objective.generator(fake)).mean()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_model_answers_the_questions_of_the_table_and_no_others(name):
    assert sorted(answers(instantiate(settings(name)))) == sorted(ANSWERS[name].split())


def test_the_table_of_answers_has_models_that_there_are_and_every_question():
    """A user's own model needs no line in it."""
    assert set(ANSWERS) <= set(MODELS)
    answered = {question for line in ANSWERS.values() for question in line.split()}
    # Models in tests answer these: tests/evaluation/test_estimates.py, tests/figures/test_densities.py.
    assert set(protocols()) - answered == {"Estimate", "UnnormalizedLogProb"}


def test_every_parameter_gets_a_gradient_or_says_why_not(case):
    name, model, data, _ = case
    if isinstance(model, StreamingModule):
        assert not list(model.parameters())
        return
    model.zero_grad()
    loss_of(model, data.examples("train", 16)).backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert without == set(NO_GRADIENT.get(name, {}))
    model.zero_grad()


def test_what_a_step_draws_does_not_depend_on_the_number_of_devices(case):
    """Two devices with unequal shares of a batch have the losses of one device with all of it."""
    _, model, data, _ = case
    if not isinstance(model, GradientModule):
        return  # sums draw nothing; of games see tests/training/test_two_processes.py
    batch = data.examples("train", 9)

    def loss(first: int, count: int) -> torch.Tensor:
        torch.manual_seed(0)
        part = Batch(batch.x[first : first + count], batch.label[first : first + count])
        with share(first, count, 9):
            return model.loss(part)["loss"].detach()

    model.train()
    torch.testing.assert_close(torch.cat([loss(0, 5), loss(5, 4)]), loss(0, 9), rtol=1e-4, atol=1e-4)
    model.eval()


def test_terms_are_finite_and_per_example_and_have_units(case):
    _, model, data, trainer = case
    terms = model.terms(data.examples("train", 7))
    if not isinstance(model, AdversarialModule):
        assert model.monitor.partition("/")[2] in terms
    assert all(term.shape == (7,) and term.isfinite().all() for term in terms.values())
    trained_on = {name.removeprefix("train/") for name in trainer.callback_metrics if name.startswith("train/")}
    assert set(model.units) >= set(terms) | trained_on
    if isinstance(model, GradientModule):
        assert "loss" in terms
        assert set(model.units) == set(terms)


def test_checkpoint_loads_safely_and_answers_the_same(case, tmp_path):
    _, model, data, trainer = case
    path = tmp_path / "model.ckpt"
    trainer.save_checkpoint(path)
    loaded = type(model).load_from_checkpoint(path, weights_only=True).eval()
    x = data.examples("validation", 5).x
    for (name, a), (_, b) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    if isinstance(model, capabilities.Reconstructs):
        assert torch.equal(model.reconstruct(x), loaded.reconstruct(x))
    for answer in ("log_prob", "assign", "encode"):
        if hasattr(model, answer):
            assert torch.equal(getattr(model, answer)(x), getattr(loaded, answer)(x))
    if isinstance(model, capabilities.Samples):
        assert torch.equal(*(m.sample(3, generator=torch.Generator().manual_seed(0)) for m in (model, loaded)))


def test_each_capability_has_its_signature_shape_and_range(case):
    _, model, data, _ = case
    x = data.examples("validation", 5).x
    found = answers(model)
    assert found
    if "Samples" in found:
        drawn = [model.sample(4, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
        assert drawn[0].shape == (4, *x.shape[1:])
        assert torch.equal(*drawn)
        assert not torch.equal(drawn[0], model.sample(4, generator=torch.Generator().manual_seed(8)))
        # A density of continuous x knows nothing of levels.
        if data.num_levels is not None and not is_density(model):
            steps = drawn[0] * (data.num_levels - 1)
            torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
            assert drawn[0].min() >= 0
            assert drawn[0].max() <= 1
    if "SamplesLatents" in found:
        assert model.sample_latents(4).shape == model.sample_latents(4).flatten(1).shape
    if "LogProb" in found:
        log_prob = model.log_prob(x)
        assert log_prob.shape == (5,)
        assert log_prob.isfinite().all()
        if data.num_levels is not None and not is_density(model):
            assert (log_prob <= 0).all()
    if "AnswersWith" in found:
        assert set(model.answer_settings) <= set(inspect.signature(type(model)).parameters)
    if "LogProbPerPixel" in found:
        per_pixel = model.log_prob_per_pixel(x)
        assert per_pixel.shape == (5, *x.shape[2:])
        torch.testing.assert_close(per_pixel.sum((1, 2)), model.log_prob(x))
        if data.num_levels is not None and not is_density(model):
            assert (per_pixel <= 0).all()
    if "LowerBound" in found:
        for bound in (model.elbo, partial(model.importance_bound, num_samples=3)):
            bounds = [bound(x, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
            assert bounds[0].shape == (5,)
            assert bounds[0].isfinite().all()
            assert torch.equal(*bounds)
            if data.num_levels is not None and not is_density(model):
                assert (bounds[0] <= 0).all()
    if "Encodes" in found:
        z = model.encode(x)
        assert z.shape[0] == 5
        assert z.dim() == 2
        if "Decodes" in found:
            assert model.decode(z).shape == x.shape
    if "Reconstructs" in found:
        assert model.reconstruct(x).shape == x.shape
    if "Assigns" in found:
        assert model.assign(x).shape == (5,)
        assert model.assign(x).dtype == torch.int64
    if "Classifies" in found:
        torch.testing.assert_close(model.classify(x).sum(1), torch.ones(5))
    if "Clusters" in found:
        centres, shares = model.clusters()
        assert centres.shape == (len(shares), *x.shape[1:])
        assert shares.sum().item() == pytest.approx(1)
    if "GaussianComponents" in found:
        weights, means, covariances = model.gaussian_components()
        (D,) = x[0].flatten().shape
        assert (means.shape, covariances.shape) == ((len(weights), D), (len(weights), D, D))
    if "PrincipalComponents" in found:
        mean, directions, shares = model.principal_components()
        assert (mean.shape, directions.shape) == (x.shape[1:], (len(shares), *x.shape[1:]))
        assert (shares.diff() <= 0).all()


def test_completions_keep_what_is_known_and_do_not_see_what_is_hidden(case):
    _, model, data, _ = case
    if not isinstance(model, capabilities.Completes):
        return
    x = data.examples("validation", 5).x
    upper_half = torch.arange(x.shape[2])[:, None] < x.shape[2] // 2
    some = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    for known in (upper_half, some):
        completed = model.complete(x, known, generator=torch.Generator().manual_seed(7))
        assert completed.shape == x.shape
        assert torch.equal(torch.where(known, completed, 0), torch.where(known, x, 0))
        steps = completed * (data.num_levels - 1)
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
        assert completed.min() >= 0
        assert completed.max() <= 1
        hidden = torch.where(known, x, 1 - x)
        assert torch.equal(completed, model.complete(hidden, known, generator=torch.Generator().manual_seed(7)))
        assert not torch.equal(completed, model.complete(x, known, generator=torch.Generator().manual_seed(8)))
    everything = torch.ones((), dtype=torch.bool)
    assert torch.equal(model.complete(x, everything, generator=torch.Generator().manual_seed(7)), x)


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_autoregressive_models_refuse_points_in_one_line(name):
    with pytest.raises(ValueError, match=r"\Adata\.shape=\[2\]: .*\Z"):
        build(f"model={name}", "data=points")


@pytest.mark.parametrize("name", CONDITIONAL)
def test_class_conditional_models_draw_examples_of_the_classes_asked_for_and_others_refuse(name):
    label = torch.tensor([0, 9, 3])
    model, _ = build(f"model={name}", "model.class_conditional=true")
    assert isinstance(model, capabilities.SamplesClasses)
    assert model.num_classes == 10
    before = torch.get_rng_state()
    drawn = [model.eval().sample_classes(label, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert drawn[0].shape == (3, 1, 8, 8)
    assert torch.equal(*drawn)
    assert torch.equal(before, torch.get_rng_state())
    model, _ = build(f"model={name}")
    assert model.num_classes is None
    with pytest.raises(ValueError, match=r"\Amodel\.class_conditional=false: "):
        model.sample_classes(label)


def test_answers_carry_no_gradients_and_leave_the_random_state_alone(case):
    _, model, data, _ = case
    x = data.examples("validation", 5).x
    before = torch.get_rng_state()
    results = []
    if isinstance(model, capabilities.Samples):
        results.append(model.sample(2, generator=torch.Generator().manual_seed(0)))
    if isinstance(model, capabilities.LowerBound):
        results.append(model.importance_bound(x, 2, generator=torch.Generator().manual_seed(0)))
    if isinstance(model, capabilities.Completes):
        known = torch.arange(x.shape[2])[:, None] < 2
        results.append(model.complete(x, known, generator=torch.Generator().manual_seed(0)))
    for answer in ("encode", "log_prob", "log_prob_per_pixel", "classify"):
        if hasattr(model, answer):
            results.append(getattr(model, answer)(x))
    assert not any(result.requires_grad for result in results)
    assert torch.equal(before, torch.get_rng_state())


METRICS = {
    "likelihood": {"num_samples": 3},
    "samples": {"num_samples": 30},
    "memorization": {"num_samples": 30},
    "clouds": {"num_samples": 30},
    "modes": {"num_samples": 30},
    "parzen": {"num_samples": 30},
}


class Silent:
    """A model that can answer nothing."""

    device = torch.device("cpu")
    num_parameters = 0


def test_an_evaluation_has_a_number_or_a_reason_for_each_question(case, monkeypatch):
    _, model, data, _ = case
    monkeypatch.setattr(Subject, "PART", 15)
    monkeypatch.setattr("pmodel.features.dataset_network.NUM_STEPS", 3)
    nodes = config("run=x", "cache_dir=null", name="eval")["metric"]
    metrics = [instantiate(node | METRICS.get(name, {})) for name, node in nodes.items() if name != "features"]

    def evaluated(someone: Any) -> tuple[dict[str, Any], dict[str, str]]:
        subject = Subject(someone, data, "test")
        findings = [finding for metric in metrics for finding in metric.ask(subject)]
        reasons = {finding.name: finding.reason for finding in findings if isinstance(finding, Missing)}
        return {finding["name"]: finding for finding in findings if isinstance(finding, dict)}, reasons

    numbers, reasons = evaluated(model)
    assert not set(numbers) & set(reasons)
    subject = Subject(model, data, "test")
    asked = {quantity.name: quantity for metric in metrics for quantity in metric.asked(subject)}
    assert set(numbers) | set(reasons) == set(asked)
    assert set(evaluated(Silent())[0]) == {"parameters"}
    assert all(reasons.values())
    for name, number in numbers.items():
        question = asked[name].question
        assert question is None or isinstance(model, question), name
        assert math.isfinite(number["value"]), name
        if name != "parameters":
            assert number["protocol"]
        if number.get("split") == "test":
            every = len(data.examples("test", 10**6).x)
            assert number["count"] == number["protocol"].get("num_compared", every)


def test_every_model_has_a_test_file_of_its_own():
    tests = {file.stem.removeprefix("test_") for file in (CONFIG_DIR.parent / "tests" / "models").glob("test_*.py")}
    assert {name.split("_2d")[0] for name in MODELS} <= tests
