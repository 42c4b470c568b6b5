from collections.abc import Callable

import pytest
import torch
from support import IMAGES, source

from pmodel.data.base import Split
from pmodel.data.digits import Digits
from pmodel.data.images import ImageDataModule


class Numbered(ImageDataModule):
    """22 images of 1×1×2; the label of each is its number in the split, and its levels follow from it."""

    source = "numbered"
    count = 22

    def load(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        number = self.kept(split, self.count)
        return torch.stack([10 * number, 10 * number + 5], dim=1).byte().reshape(-1, 1, 1, 2), number


@pytest.fixture
def numbered() -> Callable[..., Numbered]:
    def build(**settings) -> Numbered:
        own = {"shape": [1, 1, 2], "num_levels": 256, "batch_size": 4, "eval_batch_size": 5}
        return Numbered(**{**IMAGES, **own, **settings})

    return build


@pytest.fixture
def digits() -> Callable[..., Digits]:
    def build(**settings) -> Digits:
        return source("digits", **settings)

    return build


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], str]:
    """Gives the message with which an action is refused: a ValueError of one line."""

    def message(action: Callable[[], object]) -> str:
        with pytest.raises(ValueError, match="data") as error:
            action()
        assert "\n" not in str(error.value)
        return str(error.value)

    return message
