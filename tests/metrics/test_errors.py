"""Standard errors against the spread of the number over fresh draws of both sets."""

import math

import pytest
import torch
from torch import Tensor

from pmodel.metrics.clouds import sliced_wasserstein, sliced_wasserstein_error
from pmodel.metrics.copying import copying
from pmodel.metrics.errors import Partitions, partition_error, share_error
from pmodel.metrics.frechet import Moments, frechet_distance
from pmodel.metrics.inception_score import inception_score
from pmodel.metrics.kernel import kernel_distance, mmd
from pmodel.metrics.manifolds import density_coverage, precision_recall
from pmodel.metrics.modes import mode_scores

# Deviations of so many draws are known to within a tenth or so, where values are normal.
DRAWS = 60


def frechet(x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor([frechet_distance(Moments.of(x), Moments.of(y))], dtype=torch.float64)


def balls(x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor([*precision_recall(y, x), *density_coverage(y, x)], dtype=torch.float64)


def score(x: Tensor) -> Tensor:
    return torch.tensor([inception_score(x.softmax(1))], dtype=torch.float64)


def fresh(N: int, M: int, D: int, shift: float, seed: int) -> tuple[Tensor, Tensor]:
    """Two sets of features that are at least 0 and of unequal scales, the first `shift` and a tenth of it away."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(D, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / math.sqrt(D)
    mix *= torch.logspace(0.5, -0.5, D, dtype=torch.float64)[:, None]
    x, y = (torch.randn(n, D, generator=generator, dtype=torch.float64) for n in (N, M))
    return tuple((z @ mix + 0.3).relu() for z in (x * (1 + shift / 2) + shift, y))


def ratios(statistic, num_errors: int, sets, draws: int = DRAWS, **how) -> Tensor:
    """The errors, root mean square over `num_errors` draws, over the deviation of fresh draws."""
    values = torch.stack([statistic(*sets(seed)) for seed in range(draws)])
    errors = torch.stack([partition_error(statistic, *sets(seed), **how) for seed in range(num_errors)])
    return errors.square().mean(0).sqrt() / values.std(0)


def assert_within(ratio: Tensor, factor: float = 1.5) -> None:
    assert ((ratio > 1 / factor) & (ratio < factor)).all(), ratio.tolist()


@pytest.mark.parametrize(
    ("N", "M", "D", "shift"),
    [
        (250, 250, 16, 0),
        (250, 250, 64, 0),
        (1000, 1000, 16, 0),
        (250, 250, 16, 0.5),
        (500, 250, 64, 0.3),
    ],
)
def test_the_error_of_a_frechet_distance_is_its_spread_near_zero_and_far_from_it(N, M, D, shift):
    assert_within(ratios(frechet, 3, lambda seed: fresh(N, M, D, shift, seed)))


@pytest.mark.parametrize(("N", "D", "shift"), [(250, 16, 0), (250, 64, 0.3), (500, 16, 0.4)])
def test_the_errors_of_precision_recall_density_and_coverage_are_their_spreads(N, D, shift):
    assert_within(ratios(balls, 3, lambda seed: fresh(N, N, D, shift, seed), 30, local=True))


@pytest.mark.parametrize(("N", "M", "D", "shift"), [(250, 250, 64, 0), (400, 250, 64, 0), (250, 400, 16, 0.3)])
@pytest.mark.parametrize("of", [kernel_distance, lambda x, y: mmd(x, y, 3.0)])
def test_the_error_of_a_kernel_distance_is_its_spread_also_where_that_falls_as_one_over_n(of, N, M, D, shift):
    found = torch.tensor([of(*fresh(N, M, D, shift, seed)) for seed in range(DRAWS)], dtype=torch.float64)
    assert_within(found[:, 1].square().mean().sqrt() / found[:, 0].std())


@pytest.mark.parametrize("shift", [0, 2.0])
def test_the_error_of_a_sliced_wasserstein_distance_is_its_spread(shift):
    """Of two far modes: near 0 what differs is how many points lie at which."""

    def sets(seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        modes = (3 * (torch.rand(n, 1, generator=generator) < 0.4) for n in (400, 150))
        x, y = (mode + torch.randn(len(mode), 2, generator=generator) for mode in modes)
        return x + shift, y

    spread = torch.tensor([sliced_wasserstein(*sets(seed), 64) for seed in range(DRAWS)]).std()
    errors = torch.tensor([sliced_wasserstein_error(*sets(seed)) for seed in range(4)])
    assert_within(errors.mean() / spread)
    x, _ = sets(0)
    assert math.isnan(sliced_wasserstein_error(x, x))
    assert math.isnan(sliced_wasserstein_error(x[:1], x))


@pytest.mark.parametrize("sureness", [1, 300])
def test_the_error_of_an_inception_score_is_its_spread_also_where_all_are_sure(sureness):
    def sets(seed: int) -> tuple[Tensor]:
        return (sureness * torch.randn(300, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64),)

    assert_within(ratios(score, 6, sets))


def test_the_error_of_the_share_that_is_nearer_is_its_spread_also_with_ties():
    found = []
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        samples, test = (torch.rand(n, generator=generator) for n in (120, 60))
        samples, test = (8 * samples).floor(), (8 * test**0.5).floor()
        found.append(copying(samples, test))
    found = torch.tensor(found)
    assert_within(found[:, 1].mean() / found[:, 0].std(), 1.3)
    assert math.isnan(copying(torch.ones(1), torch.ones(5))[1])


def test_the_errors_of_modes_are_their_spreads():
    """Half of the eight modes have chances at the threshold, of being covered or not."""
    means = 10 * torch.arange(8.0)[:, None]
    mixture = means, torch.ones(8), torch.full((8,), 1 / 8)
    chances = torch.tensor([0.0125] * 4 + [0.24] * 3 + [0.23])
    found = []
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        mode = torch.multinomial(chances / chances.sum(), 800, replacement=True, generator=generator)
        samples = means[mode] + 1.5 * torch.randn(800, 1, generator=generator)
        found.append(mode_scores(samples, *mixture))
    found = torch.tensor(found)
    assert_within(found[:, 3:].square().mean(0).sqrt() / found[:, [0, 2]].std(0), 1.4)


def test_a_mean_has_the_error_of_a_mean_and_a_share_that_of_a_binomial():
    x = (torch.rand(400, 1, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    exact = share_error(x.mean().item(), 400)
    assert exact == pytest.approx(x.std().item() / 20)
    for local in (False, True):
        found = partition_error(lambda y: y.mean(0), x, partitions=Partitions(4, 200), local=local)
        assert found.item() == pytest.approx(exact, rel=0.15)


def test_the_same_examples_have_the_same_error_and_too_few_or_none_that_is_finite_have_none():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    assert torch.equal(partition_error(frechet, x, x + 1), partition_error(frechet, x, x + 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert partition_error(frechet, x[:1], x).isnan().all()
    assert partition_error(frechet, x[:2], x).isnan().all()
    assert math.isnan(share_error(1.0, 1))
