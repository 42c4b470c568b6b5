"""A causal transformer over sub-pixels, as image GPT (Chen et al., Generative Pretraining from Pixels, 2020)."""

from typing import Any

from pmodel.models.sub_pixels import SubPixelModule
from pmodel.nets.pixel_transformer import PixelTransformerNetwork
from pmodel.settings.ranges import Count


class PixelTransformer(SubPixelModule):
    """Each sub-pixel attends to all before it; `PixelTransformerNetwork` has the settings.

    Deviations from image GPT: sub-pixels in place of clustered colours, so p(x) is that of the image itself; a place is
    embedded as its row, its column and its channel; initial weights are PyTorch's.
    """

    def __init__(self, hidden_dim: Count, num_layers: Count, num_heads: Count, **common: Any):
        super().__init__(**common)
        self.save_hyperparameters()
        if hidden_dim % num_heads:
            raise ValueError(f"model.hidden_dim={hidden_dim}: expected a multiple of model.num_heads={num_heads}")
        self.network = self.build(PixelTransformerNetwork)
