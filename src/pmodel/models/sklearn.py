"""Estimators of scikit-learn (Pedregosa et al., Scikit-learn: Machine Learning in Python, 2011), as models."""

import copy
import json
import math
import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin
from sklearn.decomposition import PCA, FactorAnalysis, FastICA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from torch import Generator, Tensor

from pmodel.files.printable import first_line
from pmodel.instantiate import instantiate, trusted_class
from pmodel.models.sklearn_state import in_one_line, is_plain, packed, points, unpacked
from pmodel.settings.ranges import Counts
from pmodel.training.streaming import Refit, StreamingModule

# Whose `score_samples` is the log-density of x: of others it is a pseudo-likelihood, an expectation under a posterior,
# or a score of outliers.
DENSITIES = (PCA, FactorAnalysis, GaussianMixture)
MIXTURES = (GaussianMixture, BayesianGaussianMixture)
# Training examples whose measure is computed at once.
BLOCK = 10_000
# The buffers of fitted arrays: this and their number.
ARRAY = "fitted_array_"


class Sklearn(StreamingModule):
    """An unsupervised estimator of scikit-learn, fitted to all training examples in one go, as float64 (N, D).

    It answers what its class can: `transform`, or the `predict_proba` of a mixture, is `encode`; `inverse_transform` is
    `decode`, and after `transform` it is `reconstruct`; `predict` of clusters and mixtures is `assign`, and clusters
    reconstruct an example by their centre; `score_samples` is `log_prob`, a density of x in R^D, of the classes in
    DENSITIES alone; `sample` of mixtures is `sample`. Labels are not used.

    A checkpoint holds what was fitted as tensors and one text: arrays, numbers, texts, and lists and dicts of those.
    What draws random numbers during a fit is left out. An estimator of any other state, such as a tree, is refused.

    Args:
        estimator: a dict with a `_target_` in sklearn. Without a `random_state` in it, the seed of the run decides.
    """

    units: ClassVar[dict[str, str]] = {
        "nll": "nats",
        "squared_error_per_pixel": "per pixel",
        "squared_code": "summed over the code",
    }

    def __init__(self, data_shape: Counts, estimator: dict):
        super().__init__(tolerance=0.0, init_size=1)
        self.save_hyperparameters()
        self.data_shape, self.settings = torch.Size(data_shape), estimator
        self.target = str(estimator.get("_target_"))
        self._estimator = _built(estimator)
        # What the last fit warned of.
        self.warned: list[str] = []
        # The fitted attributes as a text in JSON, in UTF-8, which refers to the arrays by their numbers.
        self.register_buffer("fitted_state", torch.zeros(0, dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(_make_room)
        self.register_load_state_dict_post_hook(_check_state)
        self._answer_what_it_can()

    def _answer_what_it_can(self) -> None:
        """Gives this instance the methods of the questions that its estimator answers."""
        has = {name for name in ("transform", "inverse_transform", "predict") if hasattr(self._estimator, name)}
        is_mixture = isinstance(self._estimator, MIXTURES)
        has_centres = isinstance(self._estimator, ClusterMixin) and "predict" in has
        is_density = type(self._estimator) in DENSITIES
        answers = {
            "encode": is_mixture or "transform" in has,
            "decode": "inverse_transform" in has,
            "reconstruct": {"transform", "inverse_transform"} <= has or has_centres,
            "assign": is_mixture or has_centres,
            "log_prob": is_density,
            "sample": is_mixture,
        }
        if not any(answers.values()):
            raise ValueError(
                f"model.estimator._target_={self.target}: expected one with transform, a mixture, or clusters with"
                " predict; it can answer no question about new examples"
            )
        for name in (name for name, can in answers.items() if can):
            setattr(self, name, getattr(self, f"_{name}"))
        if is_density or is_mixture:
            self.continuous_density = True
        self.measure = "nll" if is_density else "squared_error_per_pixel" if answers["reconstruct"] else "squared_code"
        self.monitor = f"val/{self.measure}"

    @property
    def num_parameters(self) -> int:
        """The numbers in its fitted arrays of floating point."""
        return sum(array.numel() for array in self._arrays() if array.is_floating_point())

    @property
    def ending(self) -> str | None:
        return "\n".join(filter(None, (super().ending, *self.warned))) or None

    @property
    def estimator(self) -> BaseEstimator:
        """The estimator of scikit-learn, with what was fitted."""
        if self._estimator is None:
            self._estimator = self._restored_estimator()
        return self._estimator

    def _restored_estimator(self) -> BaseEstimator:
        estimator, text = self._seeded(_built(self.settings)), self.fitted_state.cpu().numpy().tobytes()
        with in_one_line("fitted_state: expected a text of pmodel's"):
            fitted = unpacked(json.loads(text), [array.cpu().numpy() for array in self._arrays()]) if text else {}
            for name in fitted:
                # Neither a setting, nor in the place of a method, nor what scikit-learn imports a library for.
                if name in estimator.get_params() or hasattr(type(estimator), name) or name.startswith("_sklearn"):
                    raise ValueError(f"{name} is nothing that a fit gives")
            vars(estimator).update(fitted)
        return estimator

    def _arrays(self) -> list[Tensor]:
        """Those of the fitted attributes, by their numbers."""
        count = sum(name.startswith(ARRAY) for name in self._buffers)
        return [self.get_buffer(f"{ARRAY}{i}") for i in range(count)]

    def _seeded(self, estimator: BaseEstimator) -> BaseEstimator:
        """The estimator with a `random_state`, where it takes one and the settings have none."""
        if estimator.get_params(deep=False).get("random_state", 0) is None:
            estimator.set_params(random_state=int(self.start_seed) % 2**32)
        return estimator

    def initialize(self, x: Tensor, generator: Generator) -> None:
        """There is no start to set."""

    def statistics(self, x: Tensor) -> dict[str, Tensor]:
        # So that infinite values and NaN are found as in any other model.
        return {"values": x.double().sum()}

    def refit(self, totals: dict[str, Tensor], count: int) -> Refit:
        x = self.data.examples("train", count).x
        estimator = self._seeded(_built(self.settings))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with in_one_line(f"model.estimator: {self.target} refuses the data"):
                _fit(estimator, points(x))
            self._keep(estimator)
            with in_one_line(f"model.estimator: {self.target} has no answer for the data"):
                total = sum(self._measured(part).sum().item() for part in x.split(BLOCK))
        most = estimator.get_params(deep=False).get("max_iter")
        lines = dict.fromkeys((warning.category, first_line(warning.message)) for warning in caught)
        self.warned = [
            f"model.estimator: {kind.__name__}: {line}"
            + (f"; it had max_iter={most}" if most and issubclass(kind, ConvergenceWarning) else "")
            for kind, line in lines
        ]
        return Refit(0.0, {self.measure: total / len(x)})

    def _keep(self, estimator: BaseEstimator) -> None:
        """Takes over what was fitted, as buffers; the estimator that answers is made of these."""
        parameters = estimator.get_params(deep=False)
        fitted = {
            name: value
            for name, value in vars(estimator).items()
            if not (name in parameters or isinstance(value, np.random.RandomState))
        }
        try:
            content, arrays = packed(fitted)
        except TypeError as error:
            raise ValueError(
                f"model.estimator._target_={self.target}: {error}; a checkpoint holds arrays, numbers and texts"
            ) from None
        text = torch.frombuffer(bytearray(json.dumps(content).encode()), dtype=torch.uint8)
        self._set_buffers({"fitted_state": text, **{f"{ARRAY}{i}": array for i, array in enumerate(arrays)}})

    def _set_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Registers these buffers in place of all arrays that there are."""
        for name in [name for name in self._buffers if name.startswith(ARRAY)]:
            delattr(self, name)
        for name, value in tensors.items():
            self.register_buffer(name, value.to(self.device))
        self._estimator = None

    def _asked(self, method: str, x: Tensor) -> Tensor:
        """What a method of the estimator gives for x (B, …), float64, on the CPU."""
        with warnings.catch_warnings():
            # Some solve a problem for each example; that they stop at max_iter is said once, of the fit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = getattr(self.estimator, method)(points(x))
        return torch.from_numpy(np.asarray(found.toarray() if hasattr(found, "toarray") else found))

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return {self.measure: self._measured(batch.x)}

    def _measured(self, x: Tensor) -> Tensor:
        """The measure that training is followed by, (B,), float64."""
        if not len(self.fitted_state):  # validation within the first epoch
            return x.new_full((len(x),), math.inf, dtype=torch.float64)
        if self.measure == "nll":
            found = -self._asked("score_samples", x)
        elif self.measure == "squared_error_per_pixel":
            found = (x.cpu().double().flatten(1) - self._restored(x)).square().mean(1)
        else:
            found = self._codes(x).double().square().sum(1)
        return found.to(x.device)

    def _codes(self, x: Tensor) -> Tensor:
        """Codes (B, M), float64, on the CPU."""
        return self._asked("predict_proba" if isinstance(self.estimator, MIXTURES) else "transform", x)

    def _restored(self, x: Tensor) -> Tensor:
        """Reconstructions (B, D), float64, on the CPU."""
        if hasattr(self.estimator, "inverse_transform"):
            return self._asked("inverse_transform", self._asked("transform", x))
        return torch.from_numpy(self.estimator.cluster_centers_)[self._asked("predict", x).long()].double()

    # What follows is bound to the public name where the estimator can answer.

    def _encode(self, x: Tensor) -> Tensor:
        """Codes, or the responsibilities of a mixture, (B, M)."""
        return self._codes(x).to(x.device, x.dtype)

    def _decode(self, z: Tensor) -> Tensor:
        """Examples (B, …) of codes (B, M)."""
        return self._asked("inverse_transform", z).to(z.device, z.dtype).view(-1, *self.data_shape)

    def _reconstruct(self, x: Tensor) -> Tensor:
        """The decoded code, or the centre of the cluster, like x."""
        return self._restored(x).to(x.device, x.dtype).view_as(x)

    def _assign(self, x: Tensor) -> Tensor:
        """The cluster or the most responsible component, (B,) int64."""
        return self._asked("predict", x).to(x.device, torch.int64)

    def _log_prob(self, x: Tensor) -> Tensor:
        """log density of x, nats, (B,)."""
        return self._asked("score_samples", x).to(x.device, x.dtype)

    def _sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), float32; those of images may leave [0, 1]."""
        device = None if generator is None else generator.device
        seed = torch.randint(2**31, (), generator=generator, device=device)
        drawn, _ = copy.copy(self.estimator).set_params(random_state=int(seed)).sample(n)
        # They come sorted by their components.
        order = torch.randperm(n, generator=generator, device=device).cpu()
        return torch.from_numpy(drawn)[order].float().to(self.device).view(n, *self.data_shape)


def _built(settings: dict[str, Any]) -> BaseEstimator:
    """The estimator of these settings, not fitted.

    Raises:
        ValueError: of one line, if its class is not trusted, needs labels or does not take the settings.
    """
    target = str(settings.get("_target_"))
    cls = trusted_class(target, BaseEstimator)
    if issubclass(cls, ClassifierMixin | RegressorMixin) or not hasattr(cls, "fit"):
        raise ValueError(f"model.estimator._target_={target}: expected one that is fitted without labels")
    if settings.get("memory") is not None:
        # A cache on the disk, which would be read by pickle.
        raise ValueError(f"model.estimator.memory={settings['memory']}: expected null")
    for name, value in settings.items():
        if not is_plain(value):
            raise ValueError(f"model.estimator.{name}={value}: expected a number, a text, true, false or null")
    with in_one_line(f"model.estimator: {target}"):
        return instantiate(settings)


def _fit(estimator: BaseEstimator, x: np.ndarray) -> None:
    """Fits to points (N, D).

    FastICA multiplies its axes by the sign of their first entry. That is 0, or rounding's, where the first dimension is
    constant, such as a black corner: there the one of greatest variance stands first for the time of the fit.
    """
    order = np.arange(x.shape[1])
    if isinstance(estimator, FastICA) and np.ptp(x[:, 0]) == 0:
        order[[0, x.var(0).argmax()]] = x.var(0).argmax(), 0
        x = x[:, order]
    estimator.fit(x)
    for name, value in [*vars(estimator).items()] if order[0] else []:
        if name in ("components_", "whitening_", "mean_", "mixing_"):
            setattr(estimator, name, value[order] if name == "mixing_" else value[..., order])


def _make_room(model: Sklearn, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Gives the model as many arrays as it is about to load: before training there are none."""
    found = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    names = [name for name in found if name == "fitted_state" or name.startswith(ARRAY)]
    model._set_buffers({name: torch.empty_like(found[name]) for name in names})


def _check_state(model: Sklearn, _: Any) -> None:
    """A file of other content is refused when it is opened, and not at the first question."""
    if model.estimator is not None and len(model.fitted_state):
        x = torch.zeros(2, *model.data_shape)
        place = f"fitted_state: expected what was fitted to examples of {list(model.data_shape)}"
        with in_one_line(place), warnings.catch_warnings(action="ignore"):  # what it thinks of zeros
            for name in {"encode", "reconstruct", "assign", "log_prob"} & vars(model).keys():
                getattr(model, name)(x)
