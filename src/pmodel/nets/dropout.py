"""Dropout whose masks do not depend on the number of devices."""

import torch
from torch import Tensor, nn

from pmodel.nets.batch_share import is_shared, own_share


class Dropout(nn.Dropout):
    """PyTorch's, of features (B, …): on several devices each draws the mask of the whole batch and keeps its share."""

    def forward(self, x: Tensor) -> Tensor:
        forward = super().forward
        if not is_shared() or not self.training or self.p == 0:
            return forward(x)
        # PyTorch fills a mask in the order in which its input lies in memory.
        order = sorted(range(x.dim()), key=lambda i: x.stride(i), reverse=True)
        like = {"dtype": x.dtype, "device": x.device}
        mask = own_share(lambda n: forward(torch.empty_permuted((n, *x.shape[1:]), order, **like).fill_(1)), len(x))
        return x * mask
