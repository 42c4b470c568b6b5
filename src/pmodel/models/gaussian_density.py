"""What a Gaussian and mixtures of them share: a density of greatest likelihood, and what its numbers rest on."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from pmodel.distributions.gaussians import Gaussians
from pmodel.training.streaming import StreamingModule


class GaussianDensity(StreamingModule):
    """A density of continuous x, made of Gaussians that are fitted by maximum likelihood.

    A subclass has `gaussians`, the `weights` (K,) of these, `reg_covar`, what is added to each variance in units of the
    data's, and `_log_prob`.
    """

    continuous_density = True
    monitor = "val/nll"
    units: ClassVar[dict[str, str]] = {"nll": "nats", "change": "nats"}
    gaussians: Gaussians
    weights: Tensor
    reg_covar: float

    @abstractmethod
    def _log_prob(self, x: Tensor) -> Tensor:
        """log density of x, nats, (B,), float64."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log density of x, nats, (B,)."""
        return self._log_prob(x).to(x.dtype)

    def terms(self, batch: Any) -> dict[str, Tensor]:
        return {"nll": -self._log_prob(batch.x)}

    @property
    def converged(self) -> bool:
        """Whether the parameters are those of greatest likelihood, up to `model.tolerance`."""
        return bool(self.last_change <= self.tolerance)

    def regularized_nats(self) -> float:
        """By how many nats per training example the log-density would rise, about, with a tenth of `reg_covar`."""
        return 0.5 * math.log(10) * self.gaussians.regularized_dims(self.weights)

    @property
    def ending(self) -> str | None:
        return "\n".join(filter(None, (super().ending, self._regularizer_line()))) or None

    def _regularizer_line(self) -> str | None:
        """Where the regularizer decides the density; None where the data do."""
        nats = self.regularized_nats()
        # Less shows in no number.
        if not self.fitted or nats < 0.005:
            return None
        constant = self.gaussians.constant.nonzero().flatten().tolist()
        reason = ""
        if constant:
            some = ", ".join(map(str, constant[:3])) + ", …" * (len(constant) > 3)
            reason = f" ({'dimension' if len(constant) == 1 else 'dimensions'} {some}: constant)"
        dims = nats / (0.5 * math.log(10))
        return (
            f"model.reg_covar={self.reg_covar} decides the density, not the data: it makes up most of the variance in"
            f" {dims:.3g} of {len(self.gaussians.constant)} directions{reason}, and a tenth of it would add about"
            f" {nats:.3g} nats"
        )
