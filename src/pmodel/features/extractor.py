"""A fixed network and how examples pass through it."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pmodel.features.tensor_files import sha256

# Examples that pass through a network at once.
PART = 500


class FeatureExtractor(nn.Module):
    """Maps examples (B, …) to features (B, D) and, where it was trained with labels, to p(label | x), (B, K).

    name: what kind of network it is
    hash: the first 12 hexadecimal digits of the SHA-256 of its weights
    num_classes: K; None without labels
    resizer: how images get the size that the network wants

    Args:
        network: from examples to features.
        head: from features to logits; None without labels.
        hash: of the weights as they were given, for a network that holds them in another form.
        part: examples that pass through the network at once.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        head: nn.Linear | None = None,
        *,
        resizer: str = "none",
        hash: str | None = None,
        part: int = PART,
    ):
        super().__init__()
        self.name, self.network, self.head, self.resizer, self.part = name, network, head, resizer, part
        self.num_classes = None if head is None else head.out_features
        self.hash = sha256(*self.state_dict().values())[:12] if hash is None else hash
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Features (B, D), float32, on the network's device, of examples on any device; in bounded memory."""
        device = next(self.parameters()).device
        # A GPU's TensorFloat-32 has 10 bits, and the features that are kept for the next evaluation may be a CPU's.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact if device.type == "cuda" else nullcontext():
            return torch.cat([self.network(part.to(device, torch.float32)) for part in x.split(self.part)])

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:
        """p(label | x), (B, K), on the network's device, from the features (B, D) of x on any device."""
        assert self.head is not None, f"{self.name} know no classes"
        return self.head(features.to(self.head.weight.device)).softmax(1)

    def classify(self, x: Tensor) -> Tensor:
        """p(label | x), (B, K), on the network's device."""
        return self.probabilities(self.features(x))
