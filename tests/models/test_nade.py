"""NADE: what its file alone promises; the family's properties are in test_autoregressive."""

import torch
from autoregressive_family import random_images, small
from support import build


def naive(network, x):
    """The logits (B, D) of images in [−1, 1], each hidden layer from all values before it: O(D²·h)."""
    x = x.permute(0, 2, 3, 1).flatten(1)
    logits = []
    for d in range(x.shape[1]):
        hidden = (network.hidden_bias + x[:, :d] @ network.weight[:d]).sigmoid()
        logits.append(network.out_bias[d] + hidden @ network.out_weight[d])
    return torch.stack(logits, 1)


def test_the_pass_in_linear_time_equals_the_naive_one_and_so_do_its_gradients():
    model = small("nade", [3, 4, 3], 3, hidden_dim=6)
    x = 2 * random_images(5, [3, 4, 3], 3).double() - 1
    network, weights = model.network, torch.randn(5, 36, 3, dtype=torch.float64)
    found = network(x).permute(0, 2, 3, 1).reshape(5, 36, 3)
    expected = naive(network, x)
    torch.testing.assert_close(found, expected)
    own, other = (torch.autograd.grad((y * weights).sum(), tuple(network.parameters())) for y in (found, expected))
    for one, another in zip(own, other, strict=True):
        torch.testing.assert_close(one, another)
        assert one.abs().sum() > 0


def test_half_precision_leaves_the_sums_as_they_are():
    model, _ = build("model=nade", "data.binarize=threshold")
    x = random_images(4, [1, 8, 8], 2)
    plain = model.log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model.log_prob(x), plain)
