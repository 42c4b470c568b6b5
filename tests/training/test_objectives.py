"""The objectives of GANs against their formulas, and against what they are known to reach."""

import math

import pytest
import torch
from torch import nn

from pmodel.nets.mlp import MLPEncoder
from pmodel.training.objectives import OBJECTIVES
from pmodel.training.penalties import gradient_penalty, in_full_precision, r1_penalty

SMOOTHING = 0.1


def sigmoid(s: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-s))


def cross_entropy(r, f, e):
    return -(1 - e) * torch.log(sigmoid(r)) - e * torch.log(1 - sigmoid(r)) - torch.log(1 - sigmoid(f))


# As the papers have them, one term after the other: discriminator(r, f, ε) and generator(f).
FORMULAS = {
    "minimax": (cross_entropy, lambda f: torch.log(1 - sigmoid(f))),
    "non_saturating": (cross_entropy, lambda f: -torch.log(sigmoid(f))),
    "least_squares": (lambda r, f, e: (r - 1 + e) ** 2 / 2 + f**2 / 2, lambda f: (f - 1) ** 2 / 2),
    "wasserstein": (lambda r, f, e: f - r, lambda f: -f),
    "wasserstein_gp": (lambda r, f, e: f - r, lambda f: -f),
    "hinge": (
        lambda r, f, e: torch.where(r < 1, 1 - r, 0) + torch.where(f > -1, 1 + f, 0),
        lambda f: -f,
    ),
}


@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_their_gradients_are_those_of_the_formula(name, smoothing):
    objective = OBJECTIVES[name](smoothing if OBJECTIVES[name].takes_smoothing else 0.0)
    discriminator, generator = FORMULAS[name]
    r, f = (3 * torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    r.requires_grad_()
    f.requires_grad_()
    for ours, formula in (
        (objective.discriminator(r, f), discriminator(r, f, objective.label_smoothing)),
        (objective.generator(f), generator(f)),
    ):
        torch.testing.assert_close(ours, formula)
        found = torch.autograd.grad(ours.sum(), (r, f), allow_unused=True)
        expected = torch.autograd.grad(formula.sum(), (r, f), allow_unused=True)
        for a, b in zip(found, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b)


def test_losses_stay_finite_where_the_discriminator_is_sure():
    sure = torch.tensor([-200.0, 200.0], requires_grad=True)
    for kind in OBJECTIVES.values():
        objective = kind()
        loss = objective.discriminator(sure, sure).sum() + objective.generator(sure).sum()
        assert loss.isfinite()
        assert torch.autograd.grad(loss, sure)[0].isfinite().all()


def normal_quantiles(mean: float, std: float, n: int) -> torch.Tensor:
    """n points (n, 1), each standing for an equal share of N(mean, std²)."""
    return (mean + std * torch.special.ndtri((torch.arange(n) + 0.5) / n))[:, None]


def density(x: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    return torch.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


DATA, MODEL = (0.0, 1.0), (1.2, 0.7)


@pytest.fixture(scope="module")
def axis() -> torch.Tensor:
    return torch.linspace(-5, 5, 4001, dtype=torch.float64)


def trained_discriminator(name: str, steps: int = 600) -> nn.Module:
    """D after many steps against a fixed generator."""
    torch.manual_seed(0)
    network = MLPEncoder([1], 1, [32, 32], "tanh")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    real, fake = (normal_quantiles(*parameters, 1000) for parameters in (DATA, MODEL))
    for _ in range(steps):
        loss = OBJECTIVES[name]().discriminator(network(real)[:, 0], network(fake)[:, 0]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "least_squares"])
def test_trained_discriminator_approaches_the_share_of_the_data_in_the_density(name, axis):
    network = trained_discriminator(name)
    p, q = density(axis, *DATA), density(axis, *MODEL)
    with torch.no_grad():
        verdict = OBJECTIVES[name]().verdict(network(axis[:, None].float())[:, 0]).double()
    # Weighted by where the examples are: elsewhere nobody has told D anything.
    error = ((verdict - p / (p + q)).abs() * (p + q)).sum() / (p + q).sum()
    assert error < 0.01
    # The bound is one that can be missed: half everywhere, what an untrained D says, is far off.
    assert ((0.5 - p / (p + q)).abs() * (p + q)).sum() / (p + q).sum() > 0.2


def test_minimax_value_approaches_twice_the_jensen_shannon_divergence_less_log_4(axis):
    network = trained_discriminator("minimax")
    p, q = density(axis, *DATA), density(axis, *MODEL)
    step = axis[1] - axis[0]
    m = (p + q) / 2
    js = 0.5 * (torch.xlogy(p, p / m).sum() + torch.xlogy(q, q / m).sum()) * step
    real, fake = (normal_quantiles(*parameters, 20_000) for parameters in (DATA, MODEL))
    with torch.no_grad():
        value = -OBJECTIVES["minimax"]().discriminator(network(real)[:, 0], network(fake)[:, 0]).mean()
    assert js > 0.2
    assert value.item() == pytest.approx(-math.log(4) + 2 * js.item(), abs=5e-3)


def test_trained_hinge_discriminator_says_which_density_is_higher(axis):
    network = trained_discriminator("hinge")
    p, q = density(axis, *DATA), density(axis, *MODEL)
    with torch.no_grad():
        score = network(axis[:, None].float())[:, 0].double()
    clear = ((p / q).log().abs() > 0.7) & (p + q > 0.05)
    assert (score[clear].sign() == (p / q)[clear].log().sign()).double().mean() > 0.97


def test_critic_with_gradient_penalty_approaches_the_exact_wasserstein_distance():
    torch.manual_seed(0)
    # The data lie to the right of some of the generated points and to the left of others.
    real = torch.cat([torch.randn(60), 6 + torch.randn(40)])[:, None]
    fake = torch.cat([torch.randn(50) - 3, 9 + 2 * torch.randn(50)])[:, None]
    # On the line the best transport keeps the order.
    exact = (real.sort(0).values - fake.sort(0).values).abs().mean().item()
    network = MLPEncoder([1], 1, [64, 64], "leaky_relu")

    def score(x):
        return network(x)[:, 0]

    steps = 1000
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, betas=(0.5, 0.9))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        pairs = real[torch.randperm(100)], fake[torch.randperm(100)]
        loss = OBJECTIVES["wasserstein_gp"]().discriminator(score(real), score(fake)).mean()
        # A penalty of finite weight λ lets the slope exceed 1, by about W / (2λ); a large one from the start would keep
        # whatever sign the slope has by chance.
        loss = loss + 50 * (step / steps) ** 2 * gradient_penalty(score, *pairs, torch.rand(100)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        reached = (score(real).mean() - score(fake).mean()).item()
    assert exact > 3
    assert reached == pytest.approx(exact, rel=0.05)


def test_penalties_of_a_linear_critic_are_those_of_its_slope():
    weight = torch.tensor([[3.0, -4.0]], requires_grad=True)
    real, fake = torch.randn(6, 2), torch.randn(6, 2)

    def score(x):
        return (x @ weight.T)[:, 0]

    torch.testing.assert_close(gradient_penalty(score, real, fake, torch.rand(6)), torch.full((6,), 16.0))
    torch.testing.assert_close(r1_penalty(score, real), torch.full((6,), 12.5))
    (by_weight,) = torch.autograd.grad(r1_penalty(score, real).mean(), weight)
    torch.testing.assert_close(by_weight, weight)
    (by_weight,) = torch.autograd.grad(gradient_penalty(score, real, fake, torch.rand(6)).mean(), weight)
    torch.testing.assert_close(by_weight, 2 * 4 * weight / 5)


def test_a_slope_below_one_is_penalized_too_and_that_of_nothing_has_a_derivative():
    real, fake = torch.randn(6, 2), torch.randn(6, 2)
    for slope, penalty in ((0.5, 0.25), (0.0, 1.0)):
        weight = torch.tensor([0.6 * slope, 0.8 * slope], requires_grad=True)
        found = gradient_penalty(lambda x, weight=weight: x @ weight, real, fake, torch.rand(6))
        torch.testing.assert_close(found, torch.full((6,), penalty), rtol=0, atol=1e-5)
        (by_weight,) = torch.autograd.grad(found.mean(), weight)
        torch.testing.assert_close(by_weight, -2 * (1 - slope) * torch.tensor([0.6, 0.8]) * (slope > 0))


def test_gradient_penalty_is_taken_between_real_and_generated_examples():
    seen = []

    def score(x):
        seen.append(x.detach())
        return x.square().sum(1)

    real, fake = torch.zeros(1000, 2), torch.tensor([2.0, 4.0]).expand(1000, 2)
    gradient_penalty(score, real, fake, torch.rand(1000))
    (x,) = seen
    torch.testing.assert_close(x[:, 1], 2 * x[:, 0])
    assert x.min() >= 0
    assert (x <= fake).all()
    assert x[:, 0].mean().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_penalties_are_of_full_precision_under_autocast_and_with_half_precision_weights(weights):
    torch.manual_seed(0)
    network = MLPEncoder([5], 1, [16], "silu").to(weights)
    x = torch.randn(8, 5)
    wide = MLPEncoder([5], 1, [16], "silu")
    wide.load_state_dict({name: tensor.float() for name, tensor in network.state_dict().items()})

    def penalty(of):
        return r1_penalty(lambda x: in_full_precision(of, x)[:, 0], x)

    expected = penalty(wide)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = penalty(network)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    found.mean().backward()
    expected.mean().backward()
    for a, b in zip(network.parameters(), wide.parameters(), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad.to(weights))
