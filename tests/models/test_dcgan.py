"""DCGAN: its sizes, and the guidelines of its paper."""

import pytest
import torch
from support import build
from torch import nn

SIZES = [7, 14, 28, 56, 8, 16, 32, 64]


@pytest.mark.parametrize("players", ["dcgan", "resnet"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_is_made_and_judged(players, size, channels):
    model, _ = build(
        "model=dcgan",
        f"model/players={players}",
        f"model.data_shape=[{channels},{size},{size}]",
        "model.players.generator.channels=4",
        "model.players.discriminator.channels=4",
    )
    x = model.sample(2)
    assert x.shape == (2, channels, size, size)
    assert model.discriminate(x).shape == (2,)


@pytest.mark.parametrize("players", ["dcgan", "resnet"])
@pytest.mark.parametrize("shape", [[3, 11, 9], [1, 12, 12], [1, 28, 32], [1, 128, 128], [2]])
def test_other_sizes_are_refused_in_one_line(players, shape):
    with pytest.raises(ValueError, match=r"\Adata\.shape=\[.*: expected images.*\Z"):
        build("model=dcgan", f"model/players={players}", f"model.data_shape={shape}")


def test_oblong_images_with_as_many_halvings_are_made():
    model, _ = build("model=dcgan", "model.data_shape=[1,28,16]")
    assert model.sample(2).shape == (2, 1, 28, 16)


def test_maps_double_in_number_as_they_halve_in_size():
    model, _ = build("model=dcgan", "data=cifar10", "model.players.generator.channels=8")
    maps = [m.in_channels for m in model.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert maps == [100, 32, 16, 8]
    widths = [m.out_channels for m in model.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [32, 64, 128]


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if not list(module.children())]


def test_the_guidelines_of_the_paper_are_kept():
    """No pooling; batch normalization but at the generator's end and the discriminator's start; ReLU and leaky ReLU."""
    model, _ = build("model=dcgan", "data=cifar10", "model.players.discriminator.norm=batch", "model.r1=0")
    assert kinds(model.generator) == [
        "Unflatten",
        *["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3,
        "ConvTranspose2d",
    ]
    assert kinds(model.discriminator) == [
        *["Conv2d", "LeakyReLU"],
        *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2,
        "Flatten",
        "Linear",
    ]
    strides = {m.stride for m in model.discriminator.modules() if isinstance(m, nn.Conv2d)}
    assert strides == {(2, 2)}
    weights = torch.cat([p.flatten() for n, p in model.discriminator.named_parameters() if n.endswith("0.weight")])
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)


def test_every_output_pixel_of_the_generator_sees_equally_many_inputs():
    """Of a 4×4 kernel with stride 2; 5×5 and 3×3 give chequerboards (Odena et al., 2016)."""
    model, _ = build("model=dcgan", "data=mnist")
    layer = model.generator.net[-1]
    ones = nn.ConvTranspose2d(1, 1, layer.kernel_size, layer.stride, layer.padding, bias=False)
    nn.init.ones_(ones.weight)
    assert set(ones(torch.ones(1, 1, 14, 14))[..., 1:-1, 1:-1].unique().tolist()) == {4.0}


def test_a_gradient_penalty_chooses_a_norm_of_single_examples():
    model, _ = build("model=dcgan", "data=mnist")
    assert "BatchNorm2d" in kinds(model.discriminator)
    model, _ = build("model=dcgan", "data=mnist", "model.objective=wasserstein_gp")
    assert "BatchNorm2d" not in kinds(model.discriminator)
