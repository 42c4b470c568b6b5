"""An encoder that looks at an image patch by patch."""

import torch
from torch import Tensor, nn

from pmodel.settings.ranges import Count, Counts


class PatchEncoder(nn.Module):
    """Images (B, C, H, W) → outputs (B, num_outputs): one linear map for all patches, then one of all that they gave.

    data_shape, num_outputs: given by the model that the network is a part of
    patch: height and width of a patch, in pixels; it must divide those of the image
    channels: outputs of each patch
    """

    def __init__(self, data_shape: Counts, num_outputs: Count, patch: Count, channels: Count):
        super().__init__()
        if len(data_shape) != 3 or data_shape[1] % patch or data_shape[2] % patch:
            raise ValueError(
                f"model.network.encoder.patch={patch}: expected images of a multiple of it, and they are {data_shape}"
            )
        self.patches = nn.Conv2d(data_shape[0], channels, patch, stride=patch)
        num_patches = torch.Size(data_shape[1:]).numel() // patch**2
        self.outputs = nn.Linear(num_patches * channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(self.patches(x).relu().flatten(1))
