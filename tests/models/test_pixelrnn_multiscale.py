"""The multi-scale PixelRNN: what its file alone promises; the family's properties are in test_autoregressive."""

import pytest
from support import build


def test_factor_out_of_range_is_refused():
    for factor, expected in ((1, "a whole number, at least 2"), (9, "no more than the images of 8×8 have rows")):
        with pytest.raises(ValueError, match=rf"model\.factor={factor}: expected {expected}"):
            build("model=pixelrnn_multiscale", f"model.factor={factor}")
