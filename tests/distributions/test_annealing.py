"""Annealed importance sampling against sums over all states, and its error against the spread over seeds."""

import math

import pytest
import torch

from pmodel.distributions.rbm import RestrictedBoltzmann


def machine(num_visible, num_hidden, visible="binary", scale=1.0):
    """With random weights, in float64."""
    torch.manual_seed(0)
    network = RestrictedBoltzmann(num_visible, num_hidden, visible).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape))
        network.base_bias.copy_(torch.randn(num_visible))
    return network


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_estimates_agree_with_the_exact_constant_and_their_errors_with_their_spread(visible):
    network = machine(8, 6, visible, 0.7)
    exact = network.exact_log_constant()
    assert exact.error == 0
    found = [network.annealed_log_constant(200, 100, torch.Generator().manual_seed(seed)) for seed in range(20)]
    values, errors = torch.tensor([f.value for f in found]), torch.tensor([f.error for f in found])
    off = (values - exact.value) / errors
    assert (off.abs() < 3).float().mean() >= 0.9
    assert abs(values.mean().item() - exact.value) < 4 * values.std().item() / math.sqrt(20)
    # The claimed error is the spread that there is: with 20 seeds it is known to a sixth.
    assert 0.5 < values.std().item() / errors.mean().item() < 2


def test_more_temperatures_make_the_error_smaller():
    network = machine(8, 6, scale=0.7)
    few, many = (network.annealed_log_constant(200, t, torch.Generator().manual_seed(0)).error for t in (5, 200))
    assert many < few / 2


def test_weights_of_zero_need_no_annealing():
    network = machine(5, 3)
    with torch.no_grad():
        network.weight.zero_()
        network.hidden_bias.zero_()
        network.visible_bias.copy_(network.base_bias)
    found = network.annealed_log_constant(10, 3, torch.Generator().manual_seed(0))
    assert found.value == pytest.approx(network.exact_log_constant().value, abs=1e-9)
    assert found.error == pytest.approx(0, abs=1e-9)
