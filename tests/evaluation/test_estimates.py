"""Estimates of log p(x), and settings with which a model answers otherwise than it was trained."""

import json
import math
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from built import LikelihoodEstimate
from conftest import Run as Command
from conftest import train_in
from support import array_data, run_directory
from torch import Generator, Tensor
from torch.distributions import Normal

import pmodel
from pmodel.commands.evaluation import answering
from pmodel.evaluation.subject import Subject
from pmodel.runs.opening import Run
from pmodel.settings.ranges import Count

N, OWN, SHARED = 100, 0.7, 0.3


class Estimated:
    """N(0, I) in the plane, whose log-density is known but for noise: of each example, or one draw for all of them."""

    device = torch.device("cpu")
    num_parameters = 0

    def __init__(self, own: float, shared: float, seed: int):
        self.own, self.shared, self.seed = own, shared, seed

    def log_prob_estimate(self, x: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        noise = Generator().manual_seed(self.seed)
        values = Normal(0.0, 1.0).log_prob(x).sum(1)
        if self.shared:
            return values + self.shared * torch.randn((), generator=noise), torch.tensor(self.shared)
        return values + self.own * torch.randn(len(x), generator=noise), torch.full((len(x),), self.own)


def numbers(model: Any, data: Any) -> dict[str, dict[str, Any]]:
    findings = LikelihoodEstimate(None).ask(Subject(model, data, "validation", batch_size=N))
    return {finding["name"]: finding for finding in findings}


@pytest.mark.parametrize(("own", "shared"), [(OWN, 0.0), (0.0, SHARED)])
def test_the_standard_error_of_an_estimate_is_its_spread_over_fresh_examples_and_fresh_noise(own, shared):
    values, errors = [], []
    for seed in range(200):
        x = torch.randn(N, 2, generator=Generator().manual_seed(seed))
        data = array_data(x, num_validation=N)
        (number,) = numbers(Estimated(own, shared, 1000 + seed), data).values()
        assert (number["kind"], number["count"]) == ("estimate", N)
        assert number["protocol"]["error_of_one_estimate"] == pytest.approx(own or shared)
        values.append(number["value"])
        errors.append(number["standard_error"])
    spread = torch.tensor(values).std().item()
    entropy = 1 + math.log(2 * math.pi)
    assert sum(values) / 200 == pytest.approx(entropy, abs=4 * spread / math.sqrt(200))
    # The spread of 200 draws is known to 5 %.
    assert sum(errors) / 200 == pytest.approx(spread, rel=0.2)


def test_an_estimate_of_levels_has_bits_and_one_of_a_density_has_none():
    x = torch.randint(0, 17, (N, 1, 2, 1), generator=Generator().manual_seed(0)) / 16
    data = array_data(x, num_validation=N, num_levels=17)

    class OfImages(Estimated):
        def log_prob_estimate(self, x: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
            return super().log_prob_estimate(x.flatten(1))

    model = OfImages(OWN, 0.0, 0)
    (of_levels,) = numbers(model, data).items()
    assert of_levels[0] == "negative_log_likelihood_estimate"
    assert of_levels[1]["bits_per_dim"] == pytest.approx(of_levels[1]["value"] / (2 * math.log(2)))
    model.continuous_density = True
    ((name, density),) = numbers(model, data).items()
    assert name == "negative_log_density_estimate"
    assert "bits_per_dim" not in density
    assert density["caveats"]
    data.dequantize = True
    both = numbers(model, data)
    of_levels = both["negative_log_likelihood_of_levels_estimate"]
    assert of_levels["value"] == pytest.approx(both[name]["value"] + 2 * math.log(17))
    assert of_levels["kind"] == "estimate"


class Walk(lightning.LightningModule):
    """Samples take `num_steps` steps of a learned length."""

    answer_settings = ("num_steps",)

    def __init__(self, num_steps: Count, width: Count):
        super().__init__()
        self.save_hyperparameters()
        self.num_steps = num_steps
        self.length = torch.nn.Parameter(torch.ones(width))

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.num_steps * self.length.detach().expand(n, -1)


def opened(model: lightning.LightningModule) -> Run:
    return Run(Path("walk"), Path("walk/best.ckpt"), "", {}, model.eval(), None, 1, {})


def test_a_run_answers_with_another_number_of_steps_and_its_own_weights():
    run = opened(Walk(3, 2))
    run.model.length.data.fill_(0.25)
    state = torch.get_rng_state()
    other = run.answering(num_steps=8)
    assert torch.equal(other.model.sample(1), torch.full((1, 2), 2.0))
    assert torch.equal(run.model.sample(1), torch.full((1, 2), 0.75))
    assert (other.answer, run.answer) == ({"num_steps": 8}, {})
    assert not other.model.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"num_steps": 0}, "answer.num_steps=0: expected "),
        ({"num_steps": "many"}, "answer.num_steps=many: expected "),
        ({"width": 3}, "answer.width=3: Walk has only num_steps to answer with"),
        ({"steps": 3}, "answer.steps=3: Walk has only num_steps to answer with"),
    ],
)
def test_a_setting_that_a_model_does_not_answer_with_is_refused_in_one_line(settings, line):
    for refuse in (lambda: opened(Walk(3, 2)).answering(**settings), lambda: answering([opened(Walk(3, 2))], settings)):
        with pytest.raises(ValueError, match=line) as error:
            refuse()
        assert "\n" not in str(error.value)


def test_of_several_runs_those_answer_otherwise_whose_models_can():
    class Still(Walk):
        answer_settings = ()

    runs = answering([opened(Still(3, 2)), opened(Walk(3, 2))], {"num_steps": 5})
    assert [run.model.num_steps for run in runs] == [3, 5]


def test_an_evaluation_stamps_the_settings_that_a_run_answered_with(evaluate: Command, tmp_path: Path):
    small = ["data.limit=96", "callbacks=minimal", "logger=none"]
    train_in(tmp_path, ["model=pca", "model.num_components=3", *small, "paths.log_dir=pca"])
    run = run_directory(tmp_path / "pca")
    refused = evaluate(f"run={run}", "answer={num_components: 2}", "cache_dir=null")
    assert (refused.code, refused.err) == (2, "error: answer.num_components=2: PCA has only whiten to answer with\n")
    assert not (run / "eval").exists()
    done = evaluate(f"run={run}", "answer={whiten: true}", "metric.samples=null", "cache_dir=null")
    assert done.code == 0, done.err
    (file,) = run.glob("eval/*/results.json")
    (entry,) = json.loads(file.read_text())["runs"]
    by_name = {number["name"]: number for number in entry["numbers"]}
    assert by_name["reconstruction_error"]["protocol"]["answer"] == {"whiten": True}
    assert pmodel.open_run(run).answer == {}
