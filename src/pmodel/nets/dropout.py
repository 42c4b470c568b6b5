"""Dropout whose masks do not depend on the number of devices."""

import torch
from torch import Tensor, nn

from pmodel.nets.batch_share import current_share


class Dropout(nn.Dropout):
    """PyTorch's, of features (B, …): on several devices each draws the mask of the whole batch and keeps its share."""

    def forward(self, x: Tensor) -> Tensor:
        share = current_share()
        if share is None or not self.training or self.p == 0:
            return super().forward(x)
        # PyTorch fills a mask in the order in which its input lies in memory.
        order = sorted(range(x.dim()), key=lambda i: x.stride(i), reverse=True)
        whole = torch.empty_permuted((share.total, *x.shape[1:]), order, dtype=x.dtype, device=x.device)
        mask = super().forward(whole.fill_(1))
        return x * mask[share.first : share.first + len(x)]
