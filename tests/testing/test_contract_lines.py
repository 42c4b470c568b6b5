"""`pmodel.testing.contract`, and the line that it has for each way in which a model can be wrong."""

import math
import re
import subprocess
import sys
from typing import Any, ClassVar

import pytest
import torch
from support import config
from torch import Tensor, nn

from pmodel import build
from pmodel.nets.batch_share import own_share
from pmodel.settings.ranges import Counts
from pmodel.testing import contract
from pmodel.training.gradient import GradientModule


class Good(GradientModule):
    """A Gaussian in the plane with independent coordinates, trained on slightly noisy examples."""

    units: ClassVar[dict[str, str]] = {"loss": "nats"}

    def __init__(self, data_shape: Counts, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        self.mean, self.log_scale = nn.Parameter(torch.ones(*data_shape)), nn.Parameter(torch.zeros(*data_shape))

    def loss(self, batch: Any) -> dict[str, Tensor]:
        noise = own_share(lambda n: torch.randn(n, *batch.x.shape[1:]), len(batch.x))
        return {"loss": -self._log_density(batch.x + 0.1 * noise)}

    def _log_density(self, x: Tensor) -> Tensor:
        z = (x - self.mean) / self.log_scale.exp()
        return (-z.square() / 2 - self.log_scale - math.log(2 * math.pi) / 2).flatten(1).sum(1)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        return self._log_density(x)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.mean + self.log_scale.exp() * torch.randn(n, *self.mean.shape, generator=generator)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return (x - self.mean).flatten(1)


class MeanLoss(Good):
    def loss(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": super().loss(batch)["loss"].mean()}


class BareLoss(Good):
    def loss(self, batch: Any) -> Any:
        return super().loss(batch)["loss"]


class InfiniteTerm(Good):
    units: ClassVar[dict[str, str]] = {"loss": "nats", "rate": "nats"}

    def loss(self, batch: Any) -> dict[str, Tensor]:
        return super().loss(batch) | {"rate": torch.full((len(batch.x),), math.nan if not self.training else 1.0)}


class NoUnit(Good):
    def loss(self, batch: Any) -> dict[str, Tensor]:
        return super().loss(batch) | {"rate": torch.ones(len(batch.x))}


class UnitOfNothing(Good):
    units: ClassVar[dict[str, str]] = {"loss": "nats", "rate": "nats"}


class OtherMonitor(Good):
    monitor = "val/nll"


class Untrainable(Good):
    def loss(self, batch: Any) -> dict[str, Tensor]:
        if len(batch.x) > 7:
            raise RuntimeError("too many\nexamples")
        return super().loss(batch)


class Idle(Good):
    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.idle = nn.Linear(2, 1)


class OwnNoise(Good):
    def loss(self, batch: Any) -> dict[str, Tensor]:
        return {"loss": -self._log_density(batch.x + torch.randn_like(batch.x))}


class Forgetful(Good):
    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.hparams.clear()
        self._hparams_initial = {}


class Restless(Good):
    """Its checkpoints lack a part of what it answers with."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.offset = torch.rand(())

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x) + self.offset


class TwoLogProbs(Good):
    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x)[:, None].expand(-1, 2)


class InfiniteLogProb(Good):
    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) / 0


class InfiniteForMany(Good):
    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) * (1 if len(x) <= 5 else math.nan)


class FailsForMany(Good):
    def log_prob(self, x: Tensor) -> Tensor:
        if len(x) > 5:
            raise RuntimeError("5 at most")
        return super().log_prob(x)


class FailingLogProb(Good):
    def log_prob(self, x: Tensor) -> Tensor:
        raise KeyError("codes")


class LevelDensity(Good):
    """On images: a density where probabilities of levels are expected."""

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x).abs()


class OwnGenerator(Good):
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(n)


class NoGenerator(Good):
    def sample(self, n: int) -> Tensor:
        return super().sample(n)


class OneSample(Good):
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.mean.detach().expand(n, *self.mean.shape)


class FlatSample(Good):
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(n, generator=generator).sum(1)


class OfTheBatch(Good):
    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x - x.mean(0))


class FlatCodes(Good):
    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x).sum(1)


class WithGradient(Good):
    def encode(self, x: Tensor) -> Tensor:
        return (x - self.mean).flatten(1)


class Disturbing(Good):
    def encode(self, x: Tensor) -> Tensor:
        torch.rand(())
        return super().encode(x)


class FloatClusters(Good):
    def assign(self, x: Tensor) -> Tensor:
        return super().log_prob(x).round()


class NoClusters(Good):
    def clusters(self) -> Any:
        return torch.zeros(3, 2), torch.ones(3)


class Unsure(Good):
    def classify(self, x: Tensor) -> Tensor:
        return torch.full((len(x), 3), 0.5)


class SmallerReconstruction(Good):
    def reconstruct(self, x: Tensor) -> Tensor:
        return x[:, :1]


class EmptyReconstruction(Good):
    def reconstruct(self, x: Tensor) -> Tensor:
        return x * math.nan


class OtherSettings(Good):
    answer_settings = ("num_steps",)


class Mute(Good):
    log_prob = sample = encode = None


class Completing(Good):
    """On binary images: fills in what is hidden by coin flips."""

    continuous_density = True

    def complete(self, x: Tensor, known: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return torch.where(known, x, torch.rand(x.shape, generator=generator).round())


class Seeing(Completing):
    def complete(self, x: Tensor, known: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        seen = (super().complete(x, known, generator=generator) + x.flatten(1).sum(1)[:, None, None, None]) % 2
        return torch.where(known, x, seen)


class Blurring(Completing):
    continuous_density = False

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(n, generator=generator).sigmoid().round()

    def complete(self, x: Tensor, known: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return torch.where(known, x, super().complete(x, known, generator=generator) / 3)


class Overwriting(Completing):
    def complete(self, x: Tensor, known: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return super().complete(x, torch.zeros_like(known), generator=generator)


POINTS = {"num_train": 64, "num_validation": 32, "num_test": 32, "batch_size": 32}
OF_POINTS = {
    MeanLoss: "loss(batch) of 7 examples: loss: expected shape (7,), got ()",
    BareLoss: "loss(batch) of 7 examples: expected a dict of named terms, got Tensor",
    InfiniteTerm: "loss(batch) of 7 examples: rate: expected finite numbers, got 7 that are not",
    NoUnit: "units: expected a unit of rate, got loss",
    UnitOfNothing: "units: expected the terms of loss, loss, got rate besides",
    OtherMonitor: "loss(batch) of 7 examples: expected a term 'nll', which OtherMonitor.monitor names, got loss",
    Idle: "loss(batch): expected a gradient of every parameter (requires_grad=False for those that stay), got none of"
    " idle.weight, idle.bias",
    OwnNoise: "loss(batch) of 9 examples: expected the same losses on one device and on two (noise drawn by"
    " pmodel.nets.batch_share.own_share), got a difference of …",
    Forgetful: "load_from_checkpoint(path, weights_only=True): expected the model (self.save_hyperparameters() in"
    " __init__, with plain numbers, texts, lists and dicts), got TypeError: …",
    Restless: "encode(x) of 5 examples: expected the same answer of a checkpoint's model, got a difference of …",
    TwoLogProbs: "log_prob(x) of 5 examples: expected shape (5,), got (5, 2)",
    InfiniteLogProb: "log_prob(x) of 5 examples: expected finite numbers, got 5 that are not",
    FailingLogProb: "log_prob(x) of 5 examples: expected an answer, got KeyError: 'codes'",
    OwnGenerator: "sample(4): expected the same draws from the same state of its generator, got a difference of …",
    NoGenerator: "sample(4, generator): expected an answer, got TypeError: … keyword argument 'generator'",
    OneSample: "sample(4): expected other draws from another state of its generator, got the same ones",
    FlatSample: "sample(4, generator): expected shape (4, 2), got (4,)",
    OfTheBatch: "encode(x) of 5 examples: expected the answer for an example that it has by itself, got a difference"
    " of … in a batch",
    FlatCodes: "encode(x) of 5 examples: expected features of shape (5, D), got (5,)",
    WithGradient: "encode(x) of 5 examples: expected an answer without a gradient (@torch.no_grad()), got one with it",
    Disturbing: "encode(x) of 5 examples: expected no noise, got another state of PyTorch's global generator",
    FloatClusters: "assign(x) of 5 examples: expected clusters of dtype int64, got torch.float32",
    NoClusters: "clusters(): expected shares that sum to 1, got a sum of 3",
    Unsure: "classify(x) of 5 examples: expected probabilities that sum to 1, got sums of 1.5 to 1.5",
    SmallerReconstruction: "reconstruct(x) of 5 examples: expected shape (5, 2), got (5, 1)",
    EmptyReconstruction: "reconstruct(x) of 5 examples: expected finite numbers, got 10 that are not",
    OtherSettings: "answer_settings: expected names of arguments of its constructor, got num_steps",
}
OF_IMAGES = {
    LevelDensity: "log_prob(x) of 5 examples: expected log-probabilities of levels, at most 0, got up to …",
    Seeing: "complete(x, known) of 5 examples: expected values that do not depend on x where known is False, got a"
    " difference of 1",
    Blurring: "complete(x, known) of 5 examples: expected values on 2 levels, k / 1, got a value 0.333 / 1 from the"
    " nearest",
    Overwriting: "complete(x, known) of 5 examples: expected x where known is True, got a difference of 1",
}


def said_of(model: type, option: str, **settings: Any) -> str:
    """What the contract says of a model, on few examples."""
    data = build(option, **settings)
    common = {key: config("model=autoencoder")["model"][key] for key in ("optimizer", "schedule")}
    made = model(data_shape=list(data.shape), ema_decay=None, compile=False, **common)
    with pytest.raises(AssertionError) as caught:
        contract(model=made, data=data)
    return str(caught.value)


def is_said(text: str, line: str) -> bool:
    """… stands for any words."""
    return re.fullmatch(".*".join(map(re.escape, line.split("…"))), text) is not None


@pytest.mark.parametrize("model", OF_POINTS, ids=lambda model: model.__name__)
def test_a_wrong_model_gets_a_line_that_names_its_method_and_what_was_expected(model):
    said = said_of(model, "data=points", **POINTS)
    assert is_said(said, f"{model.__name__}.{OF_POINTS[model]}"), said


@pytest.mark.parametrize("model", OF_IMAGES, ids=lambda model: model.__name__)
def test_a_wrong_model_of_images_gets_one_likewise(model):
    said = said_of(model, "data=digits", binarize="dynamic", limit=40, batch_size=32)
    assert is_said(said, f"{model.__name__}.{OF_IMAGES[model]}"), said


def test_what_is_wrong_with_a_training_or_an_evaluation_is_said_in_a_line_too():
    assert said_of(Untrainable, "data=points", **POINTS) == (
        "Untrainable: expected two steps of training, got RuntimeError: too many"
    )
    assert said_of(InfiniteForMany, "data=points", **POINTS) == (
        "evaluation of InfiniteForMany: negative_log_density: expected a finite number, got nan"
    )
    assert said_of(FailsForMany, "data=points", **POINTS) == (
        "evaluation of FailsForMany: expected numbers, got RuntimeError: 5 at most"
    )
    said = said_of(Mute, "data=points", **POINTS)
    assert is_said(said, "Mute: expected a method of pmodel.capabilities, such as … got none of them"), said


def test_a_right_model_keeps_the_contract_and_the_random_state_is_as_before():
    data = build("data=points", **POINTS)
    common = {key: config("model=autoencoder")["model"][key] for key in ("optimizer", "schedule")}
    before = torch.get_rng_state()
    model = Good(data_shape=[2], ema_decay=None, compile=False, **common)
    contract(model=model, data=data)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(model.mean, torch.ones(2))


def test_the_contract_of_words_needs_no_pytest_and_writes_nothing(tmp_path):
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from pmodel.testing import contract\n"
        "contract('model=pca', 'data=digits')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), 'contract: expected words, as contract("model=vae", "data=digits"), or a model and its data'),
        (("model=pca",), "contract: expected data=… among its words, got model=pca"),
        (("model=pac", "data=digits"), "model=pac: …"),
        (("model=pca", "data=digits", "model.num_component=2"), "model.num_component=2: …"),
    ],
)
def test_wrong_words_are_refused_in_a_line(words, line):
    with pytest.raises(ValueError, match=r"\S") as caught:
        contract(*words)
    assert is_said(str(caught.value), line), str(caught.value)
