"""What a network's output means: likelihoods of images and points, in nats."""

from typing import Literal

from pmodel.distributions.bernoulli import Bernoulli
from pmodel.distributions.categorical import Categorical
from pmodel.distributions.gaussian import Gaussian
from pmodel.distributions.likelihood import Likelihood
from pmodel.distributions.logistic_mixture import DiscretizedLogisticMixture

LikelihoodName = Literal["bernoulli", "categorical", "discretized_logistic", "gaussian"]
LevelLikelihoodName = Literal["bernoulli", "categorical", "discretized_logistic"]


def make_likelihood(
    name: LikelihoodName, num_levels: int | None, num_mixtures: int = 5, scale: float | str = "learned"
) -> Likelihood:
    """The likelihood that a config names, for data with `num_levels` levels (None: continuous).

    Raises:
        ValueError: if it is no probability on such data.
    """
    if name == "gaussian":
        return Gaussian(scale)
    if name not in ("bernoulli", "categorical", "discretized_logistic"):
        raise ValueError(f"model.likelihood={name}: expected bernoulli, categorical, discretized_logistic or gaussian")
    if num_levels is None:
        raise ValueError(f"model.likelihood={name}: the data are continuous (data.num_levels=null); choose gaussian")
    if name == "bernoulli":
        if num_levels != 2:
            raise ValueError(
                f"model.likelihood=bernoulli: expected two levels, but data.num_levels={num_levels}; binarize the data"
                " (data.binarize=dynamic) or choose categorical or discretized_logistic"
            )
        return Bernoulli()
    return Categorical(num_levels) if name == "categorical" else DiscretizedLogisticMixture(num_levels, num_mixtures)
