"""How many modes of a known mixture a set of samples reaches, and how many samples lie at a mode."""

from typing import NamedTuple

import torch
from torch import Tensor

from pmodel.metrics.errors import share_error

# Within so many standard deviations of a mode a sample is of high quality.
NUM_STDS = 3.0
# The share of its share of the samples that a mode needs to be covered.
SMALLEST_SHARE = 0.1


class ModeScores(NamedTuple):
    """How many of the modes are covered, the share of the samples that are of high quality, and the standard errors of
    both."""

    covered: int
    num_modes: int
    high_quality: float
    covered_error: float
    high_quality_error: float


def mode_scores(samples: Tensor, means: Tensor, stds: Tensor, weights: Tensor) -> ModeScores:
    """Compares samples (N, D) with the mixture Σ_k weight_k N(mean_k, std_k² I) of K Gaussians.

    A sample is of high quality within 3 std of its nearest mode, where nearest is in units of each mode's std; of true
    samples on the line 99.7 % are, in the plane 98.9 %. A mode is covered if it has at least a tenth of its share of
    the samples, weight · N / 10, of high quality. (Srivastava et al.: VEEGAN, 2017, arXiv 1705.07761, count a mode from
    its first such sample; with a share, one stray sample covers nothing.) What is not finite is at no mode.

    The errors are over fresh samples, by binomial variances. A mode that n of N samples lie at would be covered again
    with the probability P that a binomial count of N draws with chance n / N reaches the threshold; the variance of the
    modes covered is Σ P (1 − P).

    means: (K, D); stds, weights: (K,)
    """
    from scipy.special import betainc

    counts, threshold = (part.cpu() for part in _at_modes(samples, means, stds, weights))
    covered = (counts > 0) & (counts >= threshold)
    N, counts = len(samples), counts.double()
    least = threshold.double().ceil().clamp(1, N)
    again = torch.from_numpy(betainc(least.numpy(), (N - least + 1).numpy(), (counts / N).numpy()))
    share = counts.sum().item() / N
    error = (again * (1 - again)).sum().sqrt().item()
    return ModeScores(int(covered.sum()), len(means), share, error, share_error(share, N))


def _at_modes(samples: Tensor, means: Tensor, stds: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """How many samples of high quality lie at each mode (K,), int64, and how many cover it (K,)."""
    means, stds, weights = (part.to(samples.device, torch.float64) for part in (means, stds, weights))
    distance = torch.cdist(samples.double(), means, compute_mode="donot_use_mm_for_euclid_dist") / stds
    nearest, mode = distance.min(1)
    counts = torch.bincount(mode[nearest <= NUM_STDS], minlength=len(means))
    # A share of just a tenth must not fail by the rounding of float32 weights.
    return counts, (1 - 1e-6) * SMALLEST_SHARE * weights * len(samples)
