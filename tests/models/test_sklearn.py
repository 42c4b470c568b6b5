"""The answers of scikit-learn's estimators are scikit-learn's own; which are refused, and who is trusted."""

import copy
import math
import os
import shutil
import warnings
from importlib import import_module
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from conftest import train_in
from omegaconf import OmegaConf
from sklearn.exceptions import ConvergenceWarning
from support import array_data, fit, normal, run_directory

import pmodel
from pmodel.files.project import TYPED, trust_class
from pmodel.instantiate import check_trusted
from pmodel.models.sklearn import Sklearn
from pmodel.testing.answers import answers

ENCODERS = "Decodes Encodes Reconstructs"
DIMS = 6
# Of each estimator its settings, and the questions that it answers.
ESTIMATORS = {
    "decomposition.FastICA": ({"n_components": 3, "max_iter": 1000}, ENCODERS),
    "decomposition.NMF": ({"n_components": 3, "max_iter": 500}, ENCODERS),
    "decomposition.DictionaryLearning": ({"n_components": 3, "max_iter": 5, "transform_alpha": 0.1}, ENCODERS),
    "decomposition.MiniBatchDictionaryLearning": ({"n_components": 3, "max_iter": 5}, ENCODERS),
    "decomposition.IncrementalPCA": ({"n_components": 3}, ENCODERS),
    "decomposition.PCA": ({"n_components": 3}, f"ContinuousDensity {ENCODERS} LogProb"),
    "decomposition.FactorAnalysis": ({"n_components": 2}, "ContinuousDensity Encodes LogProb"),
    "mixture.GaussianMixture": ({"n_components": 2}, "Assigns ContinuousDensity Encodes LogProb Samples"),
    "mixture.BayesianGaussianMixture": ({"n_components": 2}, "Assigns ContinuousDensity Encodes Samples"),
    "cluster.KMeans": ({"n_clusters": 3}, "Assigns Encodes Reconstructs"),
    "cluster.MiniBatchKMeans": ({"n_clusters": 3}, "Assigns Encodes Reconstructs"),
    "cluster.MeanShift": ({}, "Assigns Reconstructs"),
    "neural_network.BernoulliRBM": ({"n_components": 3, "n_iter": 3}, "Encodes"),
    "random_projection.GaussianRandomProjection": ({"n_components": 3}, ENCODERS),
}


@pytest.fixture(autouse=True)
def typed(monkeypatch):
    """As if somebody had typed `trusted=[sklearn]`."""
    monkeypatch.setenv(TYPED, "sklearn")


def points(n: int = 120) -> torch.Tensor:
    """Two clusters in [0, 1]^6, of which each example is a mixture of three patterns."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(3, DIMS, generator=generator, dtype=torch.float64)
    weights = torch.rand(n, 3, generator=generator, dtype=torch.float64) ** 3
    noise = torch.rand(n, DIMS, generator=generator, dtype=torch.float64)
    return (weights @ patterns / 3 + 0.3 * (torch.arange(n) % 2)[:, None] + 0.05 * noise).float()


def model_of(name: str, shape: tuple[int, ...] = (DIMS,), **settings) -> Sklearn:
    return Sklearn(data_shape=list(shape), estimator={"_target_": f"sklearn.{name}", **settings})


def fitted(name: str, x: torch.Tensor, **settings) -> tuple[Sklearn, lightning.Trainer]:
    lightning.seed_everything(0, verbose=False)
    model = model_of(name, tuple(x.shape[1:]), **settings)
    trainer = fit(model, array_data(x, num_validation=20), max_epochs=5)
    assert trainer.current_epoch == 1
    return model.eval(), trainer


def class_of(name: str) -> type:
    module, _, cls = name.rpartition(".")
    return getattr(import_module(f"sklearn.{module}"), cls)


@pytest.fixture(scope="module", params=ESTIMATORS)
def case(request):
    """A model, scikit-learn's own of the same settings, random state and examples, and the trainer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TYPED, "sklearn")
        model, trainer = fitted(request.param, points(), **ESTIMATORS[request.param][0])
    own = class_of(request.param)(**ESTIMATORS[request.param][0])
    if "random_state" in own.get_params():
        own.set_params(random_state=int(model.start_seed) % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return request.param, model, own.fit(points().double().numpy()), trainer


QUESTIONS = {"encode": "transform", "assign": "predict", "log_prob": "score_samples"}


def test_answers_are_scikit_learns_own(case):
    name, model, own, _ = case
    assert sorted(answers(model)) == sorted(ESTIMATORS[name][1].split())
    x = points(150)[120:].double()
    for question, method in QUESTIONS.items():
        method = "predict_proba" if question == "encode" and "Mixture" in name else method
        if hasattr(model, question):
            expected = torch.from_numpy(getattr(own, method)(x.numpy()))
            found = getattr(model, question)(x)
            assert found.dtype == (torch.int64 if question == "assign" else torch.float64)
            torch.testing.assert_close(found, expected.to(found.dtype), rtol=1e-9, atol=1e-9)
    if hasattr(model, "decode"):
        z = own.transform(x.numpy())
        expected = torch.from_numpy(own.inverse_transform(z))
        torch.testing.assert_close(model.decode(torch.from_numpy(z)), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model.reconstruct(x), expected, rtol=1e-9, atol=1e-9)
    elif hasattr(model, "reconstruct"):
        centres = torch.from_numpy(own.cluster_centers_)
        nearest = torch.cdist(x, centres).argmin(1)
        torch.testing.assert_close(model.reconstruct(x), centres[nearest], rtol=1e-9, atol=1e-9)


def test_what_training_is_followed_by_is_finite_and_of_its_examples(case):
    _, model, own, trainer = case
    values = trainer.callback_metrics
    term = model.monitor.partition("/")[2]
    assert {f"train/{term}", f"val/{term}"} <= set(values)
    assert all(value.isfinite() for value in values.values())
    if term == "nll":
        assert values["train/nll"].item() == pytest.approx(-own.score_samples(points().double().numpy()).mean())
        assert values["val/nll"].item() == pytest.approx(-own.score_samples(points()[:20].double().numpy()).mean())
    if term == "squared_error_per_pixel":
        x = points().double()
        assert values[f"train/{term}"].item() == pytest.approx((x - model.reconstruct(x)).square().mean().item())


def test_a_checkpoint_gives_the_same_answers_bit_for_bit(case, tmp_path):
    _, model, _, trainer = case
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Sklearn.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    x = points(150)[120:]
    for other in (loaded, copy.deepcopy(model)):
        assert answers(other) == answers(model)
        for question in (*QUESTIONS, "reconstruct"):
            if hasattr(model, question):
                assert torch.equal(getattr(other, question)(x), getattr(model, question)(x))
        if hasattr(model, "sample"):
            drawn = [m.sample(5, generator=torch.Generator().manual_seed(1)) for m in (other, model)]
            assert torch.equal(*drawn)


def test_log_prob_is_a_density_and_what_is_none_has_no_log_prob():
    """The `score_samples` of a mixture under a posterior does not integrate to one, though it is called one."""
    x = normal(60, 1)
    grid = torch.linspace(-20, 20, 40_001, dtype=torch.float64)[:, None]
    for name in ("mixture.GaussianMixture", "decomposition.FactorAnalysis"):
        model, _ = fitted(name, x, n_components=1)
        assert model.log_prob(grid).exp().sum().item() * 1e-3 == pytest.approx(1, abs=1e-4)
    model, _ = fitted("mixture.BayesianGaussianMixture", x, n_components=2)
    total = np.exp(model.estimator.score_samples(grid.numpy())).sum() * 1e-3
    assert total < 0.99
    assert not hasattr(model, "log_prob")


def test_draws_of_a_mixture_come_in_any_order_and_follow_the_generator():
    model, _ = fitted("mixture.GaussianMixture", points(), n_components=2)
    n = 4000
    draws = model.sample(n, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draws, model.sample(n, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(draws, model.sample(n, generator=torch.Generator().manual_seed(1)))
    spread = points().std(0).max().item()
    torch.testing.assert_close(draws.mean(0), points().mean(0), rtol=0, atol=5 * spread / n**0.5)
    first, second = (model.assign(half).double().mean() for half in draws.split(n // 2))
    assert abs(first - second) < 0.1


def test_the_random_state_is_the_runs_unless_it_is_given():
    x = points()
    first, second = (fitted("cluster.KMeans", x, n_clusters=5, random_state=seed)[0] for seed in (3, 3))
    assert torch.equal(first.encode(x), second.encode(x))
    assert first.estimator.random_state == 3
    free, _ = fitted("cluster.KMeans", x, n_clusters=5)
    assert free.estimator.random_state == int(free.start_seed) % 2**32


def test_independent_components_of_images_with_a_black_corner_are_those_of_the_other_pixels_in_any_order():
    """FastICA itself gives NaN, or what rounding decides."""
    x = points()
    x[:, 0] = 0.25
    model, _ = fitted("decomposition.FastICA", x, n_components=3, max_iter=1000)
    order = np.arange(DIMS)
    order[[0, x.var(0).argmax()]] = x.var(0).argmax(), 0
    own = class_of("decomposition.FastICA")(
        n_components=3, max_iter=1000, random_state=int(model.start_seed) % 2**32
    ).fit(x.double().numpy()[:, order])
    codes = torch.from_numpy(own.transform(x.double().numpy()[:, order]))
    torch.testing.assert_close(model.encode(x.double()), codes, rtol=1e-9, atol=1e-9)
    restored = torch.from_numpy(own.inverse_transform(codes.numpy()))
    torch.testing.assert_close(model.reconstruct(x.double())[:, order], restored, rtol=1e-9, atol=1e-9)
    assert model.estimator.components_.shape == (3, DIMS)


def test_what_scikit_learn_warns_of_is_a_line_at_the_end():
    model, _ = fitted("decomposition.FastICA", points(), n_components=3, max_iter=1)
    assert model.ending.startswith("model.estimator: ConvergenceWarning: FastICA did not converge.")
    assert model.ending.endswith("; it had max_iter=1")
    assert "\n" not in model.ending
    assert fitted("decomposition.PCA", points(), n_components=3)[0].ending is None


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("ensemble.IsolationForest", {}, "expected one with transform, a mixture, or clusters with predict"),
        ("cluster.DBSCAN", {}, "expected one with transform, a mixture, or clusters with predict"),
        ("linear_model.LogisticRegression", {}, "expected one that is fitted without labels"),
        ("decomposition.FastICA", {"n_component": 3}, "unexpected keyword argument 'n_component'"),
        ("cluster.FeatureAgglomeration", {"memory": "cache"}, r"model\.estimator\.memory=cache: expected null"),
        ("decomposition.FastICA", {"fun": {"_target_": "os.system"}}, r"model\.estimator\.fun=.*: expected a number"),
        ("utils.Bunch", {}, "expected a BaseEstimator"),
        ("datasets._base.Path", {}, "only classes of pmodel"),
    ],
)
def test_what_can_not_be_built_is_refused_in_one_line(name, settings, said):
    with pytest.raises(ValueError, match=rf"\A[^\n]*{said}[^\n]*\Z"):
        model_of(name, **settings)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("neighbors.KernelDensity", {}, "expected one with transform"),
        ("cluster.Birch", {"n_clusters": 3}, "its fitted root_ holds a _CFNode"),
        ("cluster.BisectingKMeans", {"n_clusters": 3}, "its fitted _kmeans_single holds a function"),
        ("neighbors.KNeighborsTransformer", {}, "its fitted _tree holds a KDTree"),
        ("decomposition.KernelPCA", {"n_components": 2}, "its fitted _centerer holds a KernelCenterer"),
    ],
)
def test_a_state_of_more_than_arrays_and_plain_values_is_refused_in_one_line(name, settings, said):
    with pytest.raises(ValueError, match=rf"\Amodel\.estimator\._target_=sklearn\.{name}: [^\n]*{said}[^\n]*\Z"):
        fitted(name, points(), **settings)


def test_data_that_an_estimator_refuses_are_said_in_one_line():
    with pytest.raises(ValueError, match=r"\Amodel\.estimator: sklearn\.decomposition\.NMF refuses the data: [^\n]*\Z"):
        fitted("decomposition.NMF", points() - 1, n_components=2)


def test_validation_before_the_first_fit_has_no_number():
    model = model_of("decomposition.PCA", n_components=2)
    assert model._measured(points()[:3]).tolist() == [math.inf] * 3


ICA = "sklearn.decomposition.FastICA"
WORDS = ("model=sklearn", "data.limit=64", "callbacks=minimal", "data.batch_size=32")
KMEANS = ("model.estimator._target_=sklearn.cluster.KMeans", "~model.estimator.n_components")


def test_what_is_typed_trusts_that_class_and_no_other(monkeypatch):
    monkeypatch.setenv(TYPED, "")
    with pytest.raises(
        ValueError, match=rf"_target_={ICA}: the package sklearn is not trusted; .* trusted=\[sklearn\]"
    ):
        model_of("decomposition.FastICA")
    trust_class(ICA)
    trust_class("sklearn.a,os")
    assert os.environ[TYPED] == ICA
    model_of("decomposition.FastICA", n_components=2)
    for other in ("sklearn.cluster.KMeans", "sklearn.decomposition.NMF", f"{ICA}x"):
        with pytest.raises(ValueError, match="the package sklearn is not trusted"):
            check_trusted(other)


def test_another_class_is_typed_with_settings_of_its_own(train, tmp_path, monkeypatch):
    monkeypatch.setenv(TYPED, "")
    outcome = train(*WORDS, KMEANS[0])
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "model.estimator has no 'n_components'" in outcome.err
    assert outcome.err.endswith("; ~model.estimator.n_components leaves it out\n")
    outcome = train(*WORDS, *KMEANS, "model.estimator.n_clusters=3")
    assert outcome.err.endswith("model.estimator has no value for it yet; put a + in front to add it\n")
    outcome = train(*WORDS, *KMEANS, "+model.estimator.n_clusters=3")
    assert outcome.code == 0, outcome.err
    assert pmodel.open_run(run_directory(tmp_path / "logs")).model.estimator.n_clusters == 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TYPED, "")
        train_in(folder, [*WORDS, "data=digits", "hydra.run.dir=run"])
    return folder / "run"


def test_a_run_is_opened_where_scikit_learn_is_typed(trained, evaluate, monkeypatch):
    monkeypatch.setenv(TYPED, "")
    outcome = evaluate(f"run={trained}")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "the package sklearn is not trusted; if you know its code, type trusted=[sklearn]" in outcome.err
    with pytest.raises(ValueError, match=r"\A[^\n]*the package sklearn is not trusted; [^\n]*\Z"):
        pmodel.open_run(trained)
    outcome = evaluate(f"run={trained}", "trusted=[sklearn]", "metric.samples.num_samples=50")
    assert outcome.code == 0, outcome.err
    assert "reconstruction error" in outcome.out


def test_a_run_that_is_resumed_names_no_class_either(trained, train, monkeypatch):
    monkeypatch.setenv(TYPED, "")
    words = (f"resume={trained}", "trainer.max_epochs=400")
    outcome = train(*words)
    assert outcome.code == 2
    assert "the package sklearn is not trusted" in outcome.err
    assert train(*words, "trusted=[sklearn]").code == 0


@pytest.mark.parametrize("target", ["os.system", "sklearn.cluster.KMeans", "sklearn.datasets._base.Path"])
@pytest.mark.parametrize("place", ["config", "checkpoint"])
def test_a_run_that_was_changed_is_refused(target, place, trained, tmp_path, monkeypatch):
    """Also in a process in which another class of scikit-learn was typed."""
    monkeypatch.setenv(TYPED, "sklearn" if "_base" in target else ICA)
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    if place == "config":
        content = OmegaConf.load(run / "config.yaml")
        content.model._target_ = target
        OmegaConf.save(content, run / "config.yaml")
    else:
        for file in (run / "checkpoints").glob("*.ckpt"):
            content = torch.load(file, weights_only=True)
            content["hyper_parameters"]["estimator"]["_target_"] = target
            torch.save(content, file)
    with pytest.raises(ValueError, match=r"\A[^\n]*(is not trusted; if you|only classes of pmodel)[^\n]*\Z"):
        pmodel.open_run(run)


def test_a_state_that_is_none_is_refused_in_one_line(trained, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    settings = [f'{{"{name}": 1}}'.encode() for name in ("_sklearn_output_config", "max_iter", "transform")]
    nested = b'{"components_": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    arrays = [b'{"components_": {"array": 99}}', b'{"components_": {"code": 1}}', b'{"components_": 1}']
    for text in (b"{", b"[1]", nested, *arrays, *settings):
        for file in (run / "checkpoints").glob("*.ckpt"):
            content = torch.load(file, weights_only=True)
            content["state_dict"]["fitted_state"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            torch.save(content, file)
        with pytest.raises(ValueError, match=r"\A[^\n]*does not fit [^\n]*fitted_state[^\n]*\Z"):
            pmodel.open_run(run)
