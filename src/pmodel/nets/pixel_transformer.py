"""A causal transformer over the sub-pixels of an image, with cached keys and values for its samples."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmodel.nets.autoregressive import AutoregressiveNetwork
from pmodel.nets.sequence import SequenceSteps, from_sequence, to_sequence, told


class PixelTransformerNetwork(AutoregressiveNetwork):
    """Sub-pixel d's outputs from those before it, by `num_layers` blocks of attention and an MLP, each after a layer
    normalization and added to what it was given (Radford et al., Language Models are Unsupervised Multitask Learners,
    2019; Chen et al., Generative Pretraining from Pixels, 2020).

    A token is the level of the sub-pixel before, embedded, and the place of the present one: its row, column and
    channel, embedded each. Levels are embedded by a table; between two of them, where no data are, the table is
    interpolated.

    Args:
        data_shape: (C, H, W).
        num_levels: L.
        num_outputs: C·p.
        hidden_dim: the width of tokens, a multiple of `num_heads`; the MLP has four times as many units.
    """

    def __init__(
        self,
        data_shape: tuple[int, ...],
        num_levels: int,
        num_channels: int,
        num_outputs: int,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        condition_channels: int = 0,
    ):
        super().__init__()
        self.data_shape, self.num_levels = torch.Size(data_shape), num_levels
        small = 0.02
        self.start = nn.Parameter(small * torch.randn(hidden_dim))
        self.levels = nn.Parameter(small * torch.randn(num_levels, hidden_dim))
        self.places = nn.ParameterList(small * torch.randn(size, hidden_dim) for size in self.data_shape)
        self.condition = nn.Linear(condition_channels, hidden_dim, bias=False) if condition_channels else None
        self.blocks = nn.ModuleList(Block(hidden_dim, num_heads, num_layers) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_dim)
        self.head = nn.Linear(hidden_dim, num_outputs // num_channels)

    def embedded(self, x: Tensor) -> Tensor:
        """Values (…) in [−1, 1] → (…, hidden_dim)."""
        level = (x + 1) / 2 * (self.num_levels - 1)
        below = level.detach().floor().long().clamp(0, self.num_levels - 2)
        return torch.lerp(
            F.embedding(below, self.levels), F.embedding(below + 1, self.levels), (level - below).unsqueeze(-1)
        )

    def added(self, condition: Tensor | None) -> Tensor:
        """The place of each sub-pixel, (D, hidden_dim), or with what it is told besides, (B, D, hidden_dim)."""
        channel, row, column = self.places
        place = (row[:, None, None] + column[:, None] + channel).flatten(0, 2)
        return place if self.condition is None else place + self.condition(told(condition, self.data_shape))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        before = self.embedded(to_sequence(x)[:, :-1])
        tokens = torch.cat([self.start.expand(len(x), 1, -1), before], dim=1) + self.added(condition)
        for block in self.blocks:
            tokens = block(tokens)
        return from_sequence(self.head(self.norm(tokens)), self.data_shape)

    def steps(self, batch_size: int, width: int, condition: Tensor | None = None) -> "_TransformerSteps":
        return _TransformerSteps(self, batch_size, condition)


class Block(nn.Module):
    """Tokens (B, D, M) → (B, D, M), each from itself and those before it."""

    def __init__(self, hidden_dim: int, num_heads: int, num_layers: int):
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(hidden_dim), nn.LayerNorm(hidden_dim)
        self.qkv, self.out = nn.Linear(hidden_dim, 3 * hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, 4 * hidden_dim), nn.GELU(), nn.Linear(4 * hidden_dim, hidden_dim)
        )
        with torch.no_grad():
            # What 2·num_layers branches add up to does not grow with their number.
            for last in (self.out, self.mlp[2]):
                last.weight /= (2 * num_layers) ** 0.5

    def queries_keys_values(self, tokens: Tensor) -> Tensor:
        """(B, D, M) → (3, B, heads, D, M / heads)."""
        return self.qkv(self.attention_norm(tokens)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)

    def after_attention(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """The block's output from its tokens (B, D, M) and what the heads attend to (B, heads, D, M / heads)."""
        tokens = tokens + self.out(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.mlp_norm(tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        attended = F.scaled_dot_product_attention(*self.queries_keys_values(tokens), is_causal=True)
        return self.after_attention(tokens, attended)


class _TransformerSteps(SequenceSteps):
    """A token costs one pass of its own: the keys and values of those before it are kept."""

    def __init__(self, network: PixelTransformerNetwork, batch_size: int, condition: Tensor | None):
        super().__init__(network.data_shape, batch_size, network.levels)
        self._network, self._added = network, network.added(condition).detach()
        D, M = self._added.shape[-2:]
        heads = network.blocks[0].num_heads
        self._caches = [network.levels.new_zeros(2, batch_size, heads, D, M // heads) for _ in network.blocks]

    def advance(self, d: int, value: Tensor) -> None:
        """Nothing: a value is seen by the next token."""

    @torch.no_grad()
    def outputs(self, first: int, last: int, present: Tensor) -> Tensor:
        network = self._network
        start = network.start.expand(len(present), 1, -1) if first == 0 else None
        before = network.embedded(self._sequence[:, max(first - 1, 0) : last - 1])
        tokens = before if start is None else torch.cat([start, before], dim=1)
        tokens = tokens + self._added[..., first:last, :]
        # Of the present tokens, each sees itself and those before it.
        sees = torch.ones(last - first, last, dtype=torch.bool, device=tokens.device).tril(first)
        sees = None if last - first == 1 else sees
        for block, cache in zip(network.blocks, self._caches, strict=True):
            queries, *keys_values = block.queries_keys_values(tokens)
            for kept, new in zip(cache, keys_values, strict=True):
                kept[:, :, first:last] = new
            attended = F.scaled_dot_product_attention(queries, *cache[..., :last, :], attn_mask=sees)
            tokens = block.after_attention(tokens, attended)
        return network.head(network.norm(tokens))
