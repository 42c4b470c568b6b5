"""Weights for Inception that no download gives: random, with activations near unit scale."""

from io import BytesIO
from pathlib import Path

import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


class _Blank(FeatureExtractorInceptionV3):
    """The network with the weights that its layers draw."""

    def __init__(self) -> None:
        empty = BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        super().__init__("blank", ["2048"], empty)

    def load_state_dict(self, *_) -> None:
        pass


def write_inception_weights(file: Path, seed: int = 0) -> Path:
    """Draws the convolutions as He et al. do, and sets the running statistics of the batch norms to those of 8 images
    of blots, 4 of them mostly black as digits are, so that each layer's outputs have deviations near 1; the same for
    the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Blank()
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
                nn.init.uniform_(layer.weight, 0.8, 1.2)
                nn.init.normal_(layer.bias, 0, 0.1)
        nn.init.normal_(network.fc.weight, 0, 0.05)
        blots = torch.rand(8, 3, 8, 8)
        blots[:4] = (blots[:4, :1] > 0.8).float()
        images = (blots * 255).byte().repeat_interleave(4, 2).repeat_interleave(4, 3)
        with torch.no_grad():
            network.train()(images)
        torch.save(nn.Module.state_dict(network), file)
    return file


class Images(torch.utils.data.Dataset):
    """Bytes (n, 3, H, W) as torch-fidelity takes them: one after the other."""

    def __init__(self, levels: torch.Tensor):
        self.levels = levels

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.levels[i]
