"""Models with any order of their values, in small versions with random weights, and what all promise of draws."""

from typing import Any

import torch
from autoregressive_family import all_images, defaults, randomized
from models.test_autoregressive_samples import p_value

from pmodel.instantiate import instantiate


def any_order_model(name: str, shape: list[int], num_levels: int, **settings: Any) -> Any:
    """In float64."""
    own = {"data_shape": shape, "num_levels": num_levels, "hidden_dims": [20], **settings}
    own["likelihood"] = settings.get("likelihood", "bernoulli" if num_levels == 2 else "categorical")
    torch.manual_seed(0)
    return randomized(instantiate({**defaults(name), **own}).double().eval())


def assert_draws_follow_the_probabilities(model: Any) -> None:
    """Of all images that there are."""
    levels = model.hparams["num_levels"]
    x = all_images(list(model.data_shape), levels)
    drawn = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    assert p_value(drawn.flatten(1), levels, model.log_prob(x).exp()) > 1e-3
    again = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
