"""Normalizing flows over vectors, by the names that the zuko library gives them."""

import importlib
from types import ModuleType
from typing import Literal, NotRequired, TypedDict

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from pmodel.distributions.normal import StandardNormal
from pmodel.settings.ranges import Count, Counts, Positive, Two

# Those of zuko.flows with a standard normal over R^D. NCSF has its density on a torus, and GMM is no flow.
FlowName = Literal["NSF", "MAF", "NICE", "RealNVP", "GF", "NAF", "UNAF", "SOSPF", "BPF", "CNF"]


class FlowSettings(TypedDict):
    """The settings of these flows, of which each takes some; null: zuko's own default.

    transforms: how many transformations follow each other
    hidden_features: the units of each hidden layer of their networks
    passes: in how many passes an autoregressive transformation is inverted; 2: a coupling
    bins: the pieces of a spline
    components: of the mixtures of a Gaussianization flow
    degree, polynomials: of polynomials, and how many are squared and summed
    signal: the inputs of a monotonic network
    atol, rtol: the tolerances of the integration of a continuous flow
    """

    transforms: NotRequired[Count | None]
    hidden_features: NotRequired[Counts | None]
    passes: NotRequired[Two | None]
    bins: NotRequired[Two | None]
    components: NotRequired[Count | None]
    degree: NotRequired[Count | None]
    polynomials: NotRequired[Count | None]
    signal: NotRequired[Count | None]
    atol: NotRequired[Positive | None]
    rtol: NotRequired[Positive | None]


_OF_NETWORKS = ("transforms", "hidden_features")
# Which flow takes which.
TAKEN: dict[str, tuple[str, ...]] = {
    "NSF": (*_OF_NETWORKS, "passes", "bins"),
    "MAF": (*_OF_NETWORKS, "passes"),
    "NICE": _OF_NETWORKS,
    "RealNVP": _OF_NETWORKS,
    "GF": ("transforms", "components"),
    "NAF": (*_OF_NETWORKS, "passes", "signal"),
    "UNAF": (*_OF_NETWORKS, "passes", "signal"),
    "SOSPF": (*_OF_NETWORKS, "passes", "degree", "polynomials"),
    "BPF": (*_OF_NETWORKS, "passes", "degree"),
    "CNF": ("hidden_features", "atol", "rtol"),
}


def check_settings(flow: FlowName, settings: FlowSettings, place: str) -> None:
    """Raises a ValueError of one line for a setting that a flow does not take; `place`: what they are typed as."""
    if flow not in TAKEN:
        raise ValueError(f"{place.removesuffix('settings')}flow={flow}: expected one of {', '.join(TAKEN)}")
    for name, value in settings.items():
        if value is not None and name not in TAKEN[flow]:
            raise ValueError(f"{place}.{name}={value}: expected null, since {flow} takes {', '.join(TAKEN[flow])}")


class FlowDensity(nn.Module):
    """p(x) = N(f(x); 0, I) |det ∂f/∂x| of x in R^D, with an invertible f of zuko's (Rozet et al., zuko: normalizing
    flows in PyTorch, https://zuko.readthedocs.io).

    `NSF` is the neural spline flow (Durkan et al., 2019, arXiv 1906.04032), which is the identity outside of [−5, 5].
    The integral of `CNF` is exact to its tolerances, `GF` leaves out what is beyond ±4.9 after a transformation, and
    `NAF`, `UNAF` and `SOSPF` what is beyond ±10.

    Args:
        latent_dim: D.
        flow: its class in zuko.flows.
        settings: arguments of that class; those that are null are left to it.

    Raises:
        ValueError: of one line, for a setting that the flow does not take.
    """

    needs_float32 = True

    def __init__(self, latent_dim: Count, flow: FlowName, settings: FlowSettings):
        super().__init__()
        check_settings(flow, settings, "model.prior.settings")
        self.flow = getattr(_zuko().flows, flow)(
            latent_dim, **{name: value for name, value in settings.items() if value is not None}
        )
        self.base = StandardNormal(latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(x), (B, D), and log |det ∂f/∂x|, (B,)."""
        # In bfloat16 splines are coarse, and integrations of a continuous flow find no end.
        with torch.autocast(x.device.type, enabled=False):
            return self.flow.transform().call_and_ladj(x.to(self.base.mean.dtype))

    def inverse(self, z: Tensor) -> Tensor:
        """f⁻¹(z), (B, D)."""
        with torch.autocast(z.device.type, enabled=False):
            return self.flow.transform().inv(z.to(self.base.mean.dtype))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,)."""
        z, log_det = self.forward(x)  # not compiled: zuko builds its transformations anew at each call
        return self.base.log_prob(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, D), from noise of the generator alone."""
        return self.inverse(self.base.sample(n, generator=generator))


def _zuko() -> ModuleType:
    """The library, imported here, since other models don't need it; it switches off the checks of PyTorch's
    distributions for whoever uses them, which is undone."""
    kept = {name: vars(Distribution)[name] for name in ("_validate_args", "arg_constraints")}
    zuko = importlib.import_module("zuko")
    for name, value in kept.items():
        setattr(Distribution, name, value)
    return zuko
