"""The pixel transformer: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest
import torch
from autoregressive_family import small
from support import build


def test_levels_are_embedded_by_the_table():
    network = small("pixel_transformer", [1, 2, 2], 5).network
    levels = torch.linspace(-1, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(network.embedded(levels), network.levels)
    torch.testing.assert_close(network.embedded(levels[:1] + 0.25), network.levels[:2].mean(0, keepdim=True))


def test_each_sub_pixel_has_a_place_of_its_own():
    """Of two that have the same values before them, a network without places would say the same."""
    added = small("pixel_transformer", [3, 4, 5], 2).network.added(None)
    assert added.shape == (60, 8)
    assert len(added.unique(dim=0)) == 60


def test_heads_have_to_share_the_width_evenly():
    with pytest.raises(ValueError, match=r"\Amodel\.hidden_dim=10: expected a multiple of model\.num_heads=4\Z"):
        build("model=pixel_transformer", "model.hidden_dim=10")
