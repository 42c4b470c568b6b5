"""Each metric against what it is made of, and the reasons where a model can't answer."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from built import Clouds, Likelihood, LinearProbe, Memorization, Parzen, SampleQuality
from support import CONFIG_DIR, array_data, config
from torch import Generator, Tensor
from torch.distributions import Normal

from pmodel.config.check import check_overrides
from pmodel.config.tree import ConfigError
from pmodel.evaluation import declared
from pmodel.evaluation.clusters import Clustering
from pmodel.evaluation.codes import Classification
from pmodel.evaluation.draws import part_seed
from pmodel.evaluation.findings import Metric, Reference, without_labels
from pmodel.evaluation.likelihood import CRITERIA, bound_name
from pmodel.evaluation.nats import DECIDED, UNBOUNDED
from pmodel.evaluation.reconstruction import Reconstruction
from pmodel.evaluation.samples import MANIFOLDS
from pmodel.evaluation.subject import Subject
from pmodel.metrics.frechet import Moments, frechet_distance
from pmodel.metrics.kernel import kernel_distance, median_distance, mmd
from pmodel.metrics.manifolds import density_coverage, precision_recall
from pmodel.metrics.parzen import choose_sigma, parzen_log_prob
from pmodel.runs.results import Curve, Missing

CPU = torch.device("cpu")
METRICS = {
    name: node for name, node in config("run=x", "cache_dir=null", name="eval")["metric"].items() if name != "features"
}


class Silent:
    """Can answer nothing."""

    device = CPU
    num_parameters = 0


class StandardNormal(Silent):
    """N(0, I) in the plane, with a bound that is `gap / K` below the log-density."""

    gap = 3.0

    def log_prob(self, x: Tensor) -> Tensor:
        return Normal(0.0, 1.0).log_prob(x).sum(1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return torch.randn(n, 2, generator=generator)

    def elbo(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        return self.importance_bound(x, 1)

    def importance_bound(self, x: Tensor, num_samples: int, *, generator: Generator | None = None) -> Tensor:
        return self.log_prob(x) - self.gap / num_samples


class Copies(Silent):
    """Draws training examples."""

    def __init__(self, x: Tensor):
        self.x = x

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.x[torch.randint(len(self.x), (n,), generator=generator)]


def plane(count: int = 600, num_validation: int = 200):
    """Normal points; the first `num_validation` are no training examples of the split that is evaluated."""
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    data = array_data(x, num_validation=num_validation)
    data.parts = {"train": x[num_validation:], "validation": x[:num_validation]}
    return data


def found(metric, model, data) -> list:
    return list(metric.ask(Subject(model, data, "validation")))


def numbers(findings) -> dict:
    return {n["name"]: n for n in findings if isinstance(n, dict)}


@pytest.mark.parametrize("name", METRICS)
def test_a_model_that_answers_nothing_gets_reasons_and_no_number(name):
    from pmodel.instantiate import instantiate

    node = METRICS[name] | ({"num_samples": 5} if name == "parzen" else {})
    findings = found(instantiate(node), Silent(), plane())
    assert set(numbers(findings)) <= {"parameters"}
    reasons = [f for f in findings if isinstance(f, Missing)]
    assert all(f.reason.startswith(("the model has no ", "the run left no ")) and f.group for f in reasons)
    assert reasons or name == "modes"  # only of a known mixture


def test_likelihoods_are_means_of_the_models_own_with_their_standard_errors():
    data, model = plane(), StandardNormal()
    findings = found(Likelihood(num_samples=20), model, data)
    by_name = numbers(findings)
    log_prob = model.log_prob(data.parts["validation"]).double()
    exact = by_name["negative_log_density"]
    assert exact["value"] == pytest.approx(-log_prob.mean().item())
    assert exact["standard_error"] == pytest.approx(log_prob.std().item() / math.sqrt(200))
    assert (exact["kind"], exact["count"], exact["better"]) == ("exact", 200, "lower")
    assert "bits_per_dim" not in exact
    for k in (1, 20):
        name = bound_name(k, continuous=True)
        assert by_name[name]["value"] == pytest.approx(exact["value"] + model.gap / k)
        assert by_name[name]["kind"] == "bound"
        assert by_name[name]["protocol"]["num_samples"] == k
    # The tightest bound is the main number; the other says what it is beside it.
    assert list(by_name) == ["negative_log_density", bound_name(20, continuous=True), bound_name(1, continuous=True)]
    assert [number.get("remark") for number in by_name.values()] == [None, None, "the bound with K = 1"]
    (alone,) = [f for f in found(Likelihood(num_samples=1), model, data) if "ELBO" in str(f) and isinstance(f, dict)]
    assert "remark" not in alone
    (curve,) = (f for f in findings if isinstance(f, Curve))
    assert curve.x == [1, 5, 20]
    assert curve.y == pytest.approx([exact["value"] + model.gap / k for k in curve.x])


def test_a_density_and_a_probability_of_levels_never_share_a_name():
    data = plane()
    data.num_levels = 17
    findings = found(Likelihood(num_samples=20), StandardNormal(), data)
    levels = numbers(findings)
    model = StandardNormal()
    model.continuous_density = True
    densities = numbers(found(Likelihood(num_samples=20), model, data))
    assert not set(levels) & set(densities)
    assert all("bits_per_dim" in number for number in levels.values())
    assert not any("bits_per_dim" in number for number in densities.values())
    assert {f.name for f in findings if isinstance(f, Missing)} - set(CRITERIA) == set(densities)
    assert all(number["caveats"] == [UNBOUNDED] for number in densities.values())
    assert not any("caveats" in number for number in levels.values())


def test_a_density_of_dequantized_data_has_no_caveat_and_bounds_their_levels():
    data = plane()
    data.dequantize, data.source_levels = True, 17
    by_name = numbers(found(Likelihood(num_samples=1), StandardNormal(), data))
    assert not any("caveats" in number for number in by_name.values())
    of_levels, density = by_name["negative_log_likelihood_of_levels"], by_name["negative_log_density"]
    assert density["value"] + 2 * math.log(17) == pytest.approx(of_levels["value"], abs=5)


@pytest.mark.parametrize(("nats", "of_density", "of_criteria"), [(0.2, 1, 1), (0.03, 0, 1), (0.003, 0, 0)])
def test_a_regularizer_decides_what_it_changes_by_more_than_the_error(nats, of_density, of_criteria):
    """The standard error is 0.07 nats; criteria of the training examples have none."""

    class Fitted(StandardNormal):
        num_parameters, converged = 4, True

        def regularized_nats(self) -> float:
            return nats

    by_name = numbers(found(Likelihood(num_samples=1), Fitted(), plane()))
    assert by_name["negative_log_density"]["standard_error"] == pytest.approx(0.07, abs=0.02)
    assert by_name["negative_log_density"].get("caveats", []) == [DECIDED] * of_density
    assert all(by_name[name].get("caveats", []) == [DECIDED] * of_criteria for name in CRITERIA)


def test_a_model_without_a_density_for_these_data_says_why():
    model = StandardNormal()
    model.no_density = "model.num_components=3: …"
    findings = found(Likelihood(num_samples=1), model, plane())
    assert "negative_log_density" not in numbers(findings)
    (missing,) = (f for f in findings if isinstance(f, Missing) and f.name == "negative_log_density")
    assert missing.reason == "no density: model.num_components=3: …"


def test_training_examples_are_no_unseen_ones():
    data = labelled()
    for metric, model in ((Memorization(50), StandardNormal()), (LinearProbe(), Sign())):
        findings = list(metric.ask(Subject(model, data, "train")))
        assert findings
        assert all(isinstance(f, Missing) and f.reason.startswith("split=train: ") for f in findings)


def test_balls_need_more_examples_than_neighbours():
    findings = found(SampleQuality(num_samples=4, num_real=4), StandardNormal(), plane())
    reasons = {f.name: f.reason for f in findings if isinstance(f, Missing)}
    assert reasons["density"] == reasons["coverage"] == "4 examples have no 5 neighbours"
    assert "precision" not in reasons
    assert all(math.isfinite(n["value"]) for n in numbers(findings).values())


def test_counts_are_of_what_was_compared():
    by_name = numbers(found(SampleQuality(num_samples=60, num_real=100), StandardNormal(), plane()))
    assert by_name["frechet_distance"]["count"] == 100
    assert by_name["precision"]["count"] == by_name["precision"]["protocol"]["num_compared"] == 60


def test_clouds_of_one_point_have_a_reason():
    findings = found(Clouds(50), StandardNormal(), plane(num_validation=1))
    assert {f.reason for f in findings} == {"the examples are too few, or mostly the same"}


def test_a_bound_of_fewer_examples_says_so():
    by_name = numbers(found(Likelihood(num_samples=1, num_examples=30), StandardNormal(), plane()))
    assert by_name["negative_elbo_of_density"]["count"] == 30
    assert by_name["negative_log_density"]["count"] == 200


def test_the_parzen_window_of_true_samples_is_near_their_density_and_half_of_the_examples_chooses_its_width():
    data = plane()
    by_name = numbers(found(Parzen(2000), StandardNormal(), data))
    estimate = by_name["parzen_window_estimate"]
    assert estimate["count"] == 100
    expected = StandardNormal().log_prob(data.parts["validation"][100:]).mean().item()
    assert estimate["value"] == pytest.approx(expected, abs=0.1)
    assert (estimate["better"], estimate["kind"]) == ("higher", "estimate")


def test_the_parzen_window_has_the_width_that_other_examples_choose():
    """A narrow one of examples at the samples, a wide one of those that are evaluated."""
    data = plane()
    samples = StandardNormal().sample(500, generator=Generator().manual_seed(part_seed(0)))[:20]
    at_samples, far = samples.repeat(5, 1) + 0.01, 3 * data.parts["validation"][:100]
    data.parts |= {"validation": at_samples, "test": far}
    narrow, wide = choose_sigma(at_samples, samples), choose_sigma(far, samples)
    assert narrow < 0.5 < wide
    (number,) = Parzen(20).ask(Subject(StandardNormal(), data, "test"))
    assert number["protocol"]["sigma"] == narrow
    assert number["protocol"]["sigma_chosen_on"] == "validation"
    assert number["value"] == pytest.approx(parzen_log_prob(far, samples, narrow).mean().item())
    # Validation examples are evaluated by a width that their first half chooses.
    data = plane()
    data.parts["validation"] = torch.cat([at_samples, far])
    (number,) = Parzen(20).ask(Subject(StandardNormal(), data, "validation"))
    assert number["protocol"]["sigma"] == narrow
    assert number["value"] == pytest.approx(parzen_log_prob(far, samples, narrow).mean().item())


def test_copies_of_training_examples_are_nearer_than_unseen_ones_and_fresh_draws_are_not():
    data = plane()
    copied = numbers(found(Memorization(300), Copies(data.parts["train"]), data))
    fresh = numbers(found(Memorization(300), StandardNormal(), data))
    for name in copied:
        assert copied[name]["value"] == 1
        assert copied[name]["protocol"]["median_distance_of_samples"] == 0
        assert 0.4 < fresh[name]["value"] < 0.6
    assert len(copied) == 2


def test_memorization_looks_at_as_many_examples_as_are_asked_for():
    numbered = numbers(found(Memorization(20, num_examples=30, num_train=50), StandardNormal(), plane())).values()
    assert [(n["count"], n["protocol"]["num_train"], n["protocol"]["num_generated"]) for n in numbered] == [
        (30, 50, 20)
    ] * 2


def test_the_kernel_of_clouds_is_as_wide_as_the_real_points():
    class Wide(StandardNormal):
        def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
            return 5 * super().sample(n, generator=generator)

    subject = Subject(Wide(), plane(), "validation")
    number = numbers(Clouds(100).ask(subject))["squared_mmd"]
    real = subject.examples.x
    assert number["protocol"]["bandwidth"] == median_distance(real)
    assert number["value"] == pytest.approx(mmd(subject.samples(100), real).value)


def test_true_draws_have_distances_like_the_reference_and_shifted_ones_are_far():
    data = plane()

    class Shifted(StandardNormal):
        def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
            return super().sample(n, generator=generator) + 2

    for metric, name in ((SampleQuality(400), "frechet_distance"), (Clouds(400), "sliced_wasserstein_distance")):
        good, bad = found(metric, StandardNormal(), data), found(metric, Shifted(), data)
        references = {f.number["name"]: f.number for f in good if isinstance(f, Reference)}
        near, far = numbers(good)[name]["value"], numbers(bad)[name]["value"]
        assert far > 4 * references[name]["value"]
        assert near < 3 * references[name]["value"]
        assert references[name]["count"] == 200
        assert references[name]["protocol"]["num_train"] == 200
        assert [f for f in bad if isinstance(f, Reference)] == [f for f in good if isinstance(f, Reference)]


def test_numbers_of_samples_are_those_of_their_metrics_of_real_examples_and_samples():
    class Blob(StandardNormal):
        def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
            return 0.1 * super().sample(n, generator=generator)

    data = plane()
    subject = Subject(Blob(), data, "validation")
    findings = list(SampleQuality(150, k_precision_recall=2, k_density_coverage=4).ask(subject))
    references = {f.number["name"]: f.number for f in findings if isinstance(f, Reference)}
    real = subject.real_features(data.parts["validation"])
    others = subject.features_of_samples(150), subject.real_features(data.parts["train"][200:350])
    for found_of, other in zip((numbers(findings), references), others, strict=True):
        balls = *precision_recall(real[:150], other, 2), *density_coverage(real[:150], other, 4)
        expected = dict(zip(MANIFOLDS, balls, strict=True))
        expected["frechet_distance"] = frechet_distance(Moments.of(real), Moments.of(other))
        expected["kernel_distance"] = kernel_distance(other, real).value
        assert {name: number["value"] for name, number in found_of.items()} == pytest.approx(expected)
        assert [number["count"] for number in found_of.values()] == [200, 200, 150, 150, 150, 150]
    # What is exchanged would show.
    value = {name: number["value"] for name, number in numbers(findings).items()}
    assert value["recall"] < value["coverage"] < 0.5 < value["precision"] < value["density"]


def test_fourier_features_know_no_classes():
    findings = found(SampleQuality(100), StandardNormal(), plane())
    (reason,) = {f for f in findings if isinstance(f, Missing)}
    assert reason.name == "inception_score"
    assert reason.reason == "its random Fourier features know no classes"


def test_reconstruction_error_is_the_mean_square_of_what_is_lost():
    class Halves(Silent):
        def reconstruct(self, x: Tensor) -> Tensor:
            return x / 2

    data = plane()
    (number,) = found(Reconstruction(), Halves(), data)
    assert number["value"] == pytest.approx((data.parts["validation"] / 2).square().mean().item())
    assert number["unit"] == "squared error per coordinate"


class Sign(Silent):
    """Clusters and codes that are what the labels below say."""

    def assign(self, x: Tensor) -> Tensor:
        return (x[:, 0] > 0).long()

    def encode(self, x: Tensor) -> Tensor:
        return x


def labelled():
    data = plane()
    load = data.load
    data.load = lambda split: (load(split)[0], (load(split)[0][:, 0] > 0).long())
    return data


def test_clusters_and_codes_that_know_the_labels_have_full_marks_and_unlabelled_data_have_a_reason():
    scores = numbers(found(Clustering(), Sign(), labelled()))
    assert {name: number["value"] for name, number in scores.items()} == {"clustering_accuracy": 1, "nmi": 1, "ari": 1}
    (probe,) = found(LinearProbe(), Sign(), labelled())
    assert probe["value"] > 0.97
    assert (probe["protocol"]["num_train"], probe["protocol"]["code_dim"]) == (400, 2)
    for metric in (Clustering(), LinearProbe()):
        assert {f.reason for f in found(metric, Sign(), plane())} == {"the data have no labels"}


def test_a_probe_is_fitted_on_training_examples_alone():
    data = labelled()
    load = data.load
    data.load = lambda split: (load(split)[0], load(split)[1] ^ (split == "train"))
    (probe,) = found(LinearProbe(), Sign(), data)
    assert probe["value"] < 0.03


def test_accuracy_is_the_share_of_right_labels():
    class Told(Sign):
        def classify(self, x: Tensor) -> Tensor:
            return torch.stack([-x[:, 0], x[:, 0]], 1).softmax(1)

    data = labelled()
    load = data.load
    data.load = lambda split: (load(split)[0], load(split)[1] ^ (torch.arange(len(load(split)[1])) < 50))
    (number,) = found(Classification(), Told(), data)
    assert (number["value"], number["count"]) == (0.75, 200)


def test_partly_labelled_data_are_not_said_to_have_none():
    assert without_labels(torch.tensor([0, 1, -1]), torch.tensor([2])) == "only 3 of 4 examples have a label"
    assert without_labels(torch.tensor([0, 1])) is None


@pytest.mark.parametrize("name", METRICS)
def test_settings_out_of_range_name_themselves(name):
    for setting in (key for key in METRICS[name] if key.startswith(("num_", "k_"))):
        with pytest.raises(ConfigError, match=rf"^metric\.{name}\.{setting}=0: expected a whole number, at least \d"):
            check_overrides("eval", ["run=x", f"metric.{name}.{setting}=0"])


def test_the_metrics_in_conf_are_all_there_are():
    declared()  # imports them all
    defined = {f"{metric.__module__}.{metric.__name__}" for metric in Metric.__subclasses__()}
    assert {name for name in defined if name.startswith("pmodel.evaluation.")} == {
        node["_target_"] for node in METRICS.values()
    }
    assert (CONFIG_DIR / "metric" / "default.yaml").is_file()


class Slow:
    """A bound that takes a second for each thousand samples, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now, self.samples = 0.0, 0
        monkeypatch.setattr("pmodel.evaluation.likelihood.time", SimpleNamespace(perf_counter=lambda: self.now))
        self.device = torch.device("cpu")

    def elbo(self, x: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.importance_bound(x, 1)

    def importance_bound(self, x: torch.Tensor, num_samples: int, *, generator: Any = None) -> torch.Tensor:
        self.now += len(x) * num_samples / 1000
        return -x.flatten(1).sum(1)


@pytest.mark.parametrize(("seconds", "expected"), [(None, 1000), (10_000, 1000), (100, 179), (1, 10)])
def test_bounds_take_about_the_seconds_that_they_are_given(seconds, expected, monkeypatch):
    model = Slow(monkeypatch)
    subject = Subject(model, array_data(torch.rand(1000, 1, 4, 4), num_validation=1000), "validation")
    found = [f for f in Likelihood(500, None, seconds).ask(subject) if isinstance(f, dict)]
    assert {number["count"] for number in found} == {expected}
    if seconds == 100:
        assert 90 < model.now < 120


def test_models_are_scored_with_as_many_samples_as_the_reference_has_examples_that_the_network_has_not_seen():
    data = plane()
    x = data.parts["train"]
    for metric, name in ((SampleQuality(), "frechet_distance"), (Clouds(), "sliced_wasserstein_distance")):
        findings = found(metric, StandardNormal(), data)
        references = {f.number["name"]: f.number for f in findings if isinstance(f, Reference)}
        assert numbers(findings)[name]["protocol"]["num_generated"] == references[name]["protocol"]["num_train"] == 200
        assert references[name]["protocol"]["train_part"] == "second half"
    subject = Subject(StandardNormal(), data, "validation")
    assert torch.equal(subject.reference_examples, x[200:])
    assert [subject.num_samples(typed) for typed in (None, 7, 900)] == [200, 7, 900]
    assert numbers(found(SampleQuality(900), StandardNormal(), data))["recall"]["protocol"]["num_generated"] == 900


@pytest.mark.parametrize(("split", "num_train"), [("validation", 1), ("train", 400)])
def test_a_single_training_example_and_training_examples_themselves_have_no_reference(split, num_train):
    data = plane()
    data.parts["train"] = data.parts["train"][:num_train]
    for metric in (SampleQuality(50), Clouds(50)):
        findings = list(metric.ask(Subject(StandardNormal(), data, split)))
        assert numbers(findings)
        assert not any(isinstance(f, Reference) for f in findings)


def test_every_number_of_samples_has_a_standard_error_and_says_how_it_was_found():
    data = plane()
    for metric in (SampleQuality(100), Clouds(100), Memorization(100)):
        findings = found(metric, StandardNormal(), data)
        both = [*numbers(findings).values(), *(f.number for f in findings if isinstance(f, Reference))]
        assert len(both) >= 2
        assert all(number["standard_error"] > 0 and number["protocol"]["error_by"] for number in both)
    quality = numbers(found(SampleQuality(100), StandardNormal(), data))
    assert quality["frechet_distance"]["protocol"]["error_by"] == "64 random partitions into 2 parts"
    assert quality["precision"]["protocol"]["error_by"] == "32 random partitions into 2 parts"
    assert quality["kernel_distance"]["protocol"]["subset_size"] == "all"
    assert quality["kernel_distance"]["least"] == 0
    scores = [*numbers(found(Clustering(), Sign(), labelled())).values(), *found(LinearProbe(), Sign(), labelled())]
    assert all("standard_error" in number for number in scores)


def test_too_few_examples_for_parts_have_a_number_without_an_error():
    by_name = numbers(found(SampleQuality(num_samples=8, num_real=8), StandardNormal(), plane()))
    assert "standard_error" not in by_name["density"]
    assert "standard_error" in by_name["frechet_distance"]
