"""The multi-scale PixelRNN: what sees what, and that its probabilities sum to one."""

import pytest
import torch
from support import build

from pmodel.models.pixelrnn_multiscale import MultiScalePixelRNN

SMALL = ["model.hidden_channels=6", "model.condition_features=5", "model.head_channels=6", "model.first_kernel_size=3"]


def random_model(shape: list[int], *overrides: str, seed: int = 0) -> MultiScalePixelRNN:
    """In float64, none of its weights zero, for binary images."""
    shape_override = f"model.data_shape=[{','.join(map(str, shape))}]"
    model, _ = build("model=pixelrnn_multiscale", "data.binarize=threshold", shape_override, *SMALL, *overrides)
    torch.manual_seed(seed)
    for parameter in model.double().parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def order(shape: list[int], factor: int) -> torch.Tensor:
    """When each sub-pixel (C, H, W) is drawn: the small image in raster order, then the others."""
    C, H, W = shape
    later = torch.ones(H, W, dtype=torch.bool)
    later[::factor, ::factor] = False
    keys = [(bool(later[i, j]), i, j, c) for c in range(C) for i in range(H) for j in range(W)]
    ranks = {key: rank for rank, key in enumerate(sorted(keys))}
    return torch.tensor([ranks[key] for key in keys]).view(C, H, W)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("shape", [[1, 7, 5], [3, 5, 6]], ids=str)
def test_each_output_depends_on_earlier_subpixels_alone_and_on_all_of_them(shape, factor):
    when = order(shape, factor)
    C, H, W = shape
    reached = torch.zeros(C * H * W, C, H, W, dtype=torch.bool)
    for seed in range(4):
        model = random_model(shape, f"model.factor={factor}", seed=seed)
        x = torch.rand(1, *shape, dtype=torch.float64).repeat(C * H * W, 1, 1, 1).requires_grad_()
        outputs = model._parameters_of(x, None).flatten(1)
        (jacobian,) = torch.autograd.grad(outputs.diagonal().sum(), x)
        reached |= jacobian != 0
    earlier = when[None] < when.view(-1, 1, 1, 1)
    assert not reached[~earlier].any()
    # The Diagonal BiLSTMs see all that is earlier of their own image, and the second one all of the small image
    # within the reach of three convolutions; here that is all, and another output's own pixel is not read.
    small = torch.zeros(H, W, dtype=torch.bool)
    small[::factor, ::factor] = True
    of_small = small.expand(C, H, W).reshape(-1)
    assert reached[of_small][:, :, small].equal(earlier[of_small][:, :, small])
    assert reached[~of_small][:, :, ~small].equal(earlier[~of_small][:, :, ~small])


def test_factor_out_of_range_is_refused():
    for factor in (1, 9):
        with pytest.raises(ValueError, match=rf"model\.factor={factor}: expected .*at least 2"):
            build("model=pixelrnn_multiscale", f"model.factor={factor}")
