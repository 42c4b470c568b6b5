"""Penalties on the gradient of a discriminator by its input; of second order, so in full precision."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pmodel.nets.precision import upcast

Score = Callable[[Tensor], Tensor]


def gradient_penalty(score: Score, real: Tensor, fake: Tensor, u: Tensor) -> Tensor:
    """(‖∇D(x̂)‖₂ − 1)² at x̂ = real + u (fake − real), (B,).

    Gulrajani et al.: Improved Training of Wasserstein GANs, 2017, arXiv 1704.00028.

    score: D, examples (B, …) → (B,); real, fake: examples (B, …); u: uniform in [0, 1], (B,)
    """
    dtype = upcast(fake).dtype
    real, fake = real.to(dtype), fake.to(dtype)
    u = u.to(dtype).view(-1, *[1] * (real.dim() - 1))
    # The root has no derivative at 0, where a gradient of nothing but zeros stands.
    norm = (_squared_gradient(score, torch.lerp(real, fake, u)) + 1e-12).sqrt()
    return (norm - 1).square()


def r1_penalty(score: Score, real: Tensor) -> Tensor:
    """½ ‖∇D(x)‖₂² at real examples, (B,): R₁ of Mescheder et al., 2018, arXiv 1801.04406, without its factor γ."""
    return 0.5 * _squared_gradient(score, real)


def _squared_gradient(score: Score, x: Tensor) -> Tensor:
    """‖∇D(x)‖₂², (B,), differentiable in D's parameters."""
    x = x.detach().requires_grad_()
    # The backward pass too: autocast would narrow its products.
    with full_precision(x.device):
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def full_precision(device: torch.device) -> torch.autocast:
    """A context without autocast."""
    return torch.autocast(device.type, enabled=False)


def in_full_precision(network: nn.Module, x: Tensor) -> Tensor:
    """network(x) in float32, or float64 if the network is, whatever autocast or the weights' type say; the gradients
    reach the weights. The double backward of a penalty in half precision gives NaN."""
    with full_precision(x.device):
        if next(network.parameters()).dtype in (torch.float32, torch.float64):
            return network(x.to(next(network.parameters()).dtype))
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        wide = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        return functional_call(network, wide, (x.float(),))
