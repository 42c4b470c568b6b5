"""Flows of the zuko library as densities: what they sum to, and which settings each takes."""

import inspect
import subprocess
import sys
from typing import get_args

import pytest
import torch
from support import normal
from zuko import flows
from zuko.lazy import Flow

from pmodel.distributions.flow import TAKEN, FlowDensity, FlowName, FlowSettings, check_settings

VALUES = {
    "transforms": 2,
    "hidden_features": [8],
    "passes": 2,
    "bins": 4,
    "components": 3,
    "degree": 3,
    "polynomials": 2,
    "signal": 4,
    "atol": 1e-6,
    "rtol": 1e-6,
}


def density(name: str, dim: int = 2) -> FlowDensity:
    torch.manual_seed(0)
    return FlowDensity(dim, name, {key: value for key, value in VALUES.items() if key in TAKEN[name]})


def test_the_flows_are_those_of_zuko_with_a_normal_over_the_plane():
    found = {name for name, cls in inspect.getmembers(flows, inspect.isclass) if issubclass(cls, Flow)}
    assert set(get_args(FlowName)) == found - {"Flow", "NCSF"} == set(TAKEN)
    assert set(VALUES) == set(FlowSettings.__annotations__)


@pytest.mark.parametrize("name", get_args(FlowName))
def test_a_flow_takes_the_settings_of_the_table(name):
    """Zuko refuses others, or passes over them."""
    flow, plain = density(name), FlowDensity(2, name, {"signal": None})
    assert [p.shape for p in flow.parameters()] != [p.shape for p in plain.parameters()]
    for key in VALUES.keys() - set(TAKEN[name]):
        with pytest.raises(ValueError, match=rf"\Amodel\.settings\.{key}=.*: expected null, since {name} takes .*\Z"):
            check_settings(name, {key: VALUES[key]}, "model.settings")


@pytest.mark.parametrize("name", get_args(FlowName))
def test_a_density_in_the_plane_integrates_to_one(name):
    flow = density(name)
    if name == "GF":  # zuko's reaches ±4.9 after each transformation: far from the identity, it loses mass
        torch._foreach_mul_([p.data for p in flow.parameters()], 0.2)
    line = torch.arange(-10, 10, 0.125)
    with torch.no_grad():
        total = flow.log_prob(torch.cartesian_prod(line, line)).double().exp().sum() * 0.125**2
    # Far out there is a little more; and of what is piecewise smooth, a sum is not the integral to many digits.
    assert total.item() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("name", get_args(FlowName))
@pytest.mark.parametrize("dim", [1, 3])
def test_log_prob_is_the_normals_and_the_jacobians(name, dim):
    flow, x = density(name, dim).double(), normal(4, dim, dtype=torch.float64)
    z, log_det = flow(x)
    for i in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda one: flow(one[None])[0][0], x[i])
        assert log_det[i].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-3)
    torch.testing.assert_close(flow.inverse(z), x, rtol=0, atol=1e-4)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(flow.log_prob(x), base + log_det)


def test_samples_follow_their_generator_alone():
    flow = density("NSF")
    first, again = (flow.sample(5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, flow.sample(5, generator=torch.Generator().manual_seed(4)))


def test_the_checks_of_pytorchs_distributions_stay():
    """zuko switches them off for all when it is imported, as it was above: here in a process of its own."""
    lines = ["import torch", "from pmodel.distributions.flow import FlowDensity", "FlowDensity(2, 'NSF', {})"]
    lines += ["torch.distributions.Normal(0.0, -1.0)"]
    done = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True)
    assert "ValueError: Expected parameter scale" in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["NSF", "MAF"])
def test_densities_are_not_rounded_under_mixed_precision(name):
    torch.manual_seed(0)
    density, x = FlowDensity(2, name, {}), torch.randn(5, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = density.log_prob(x)
    assert torch.equal(found, density.log_prob(x))


def test_a_name_that_is_no_flow_is_refused():
    with pytest.raises(ValueError, match=r"\Amodel\.prior\.flow=load: expected one of NSF, "):
        FlowDensity(2, "load", {})
