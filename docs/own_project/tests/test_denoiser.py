"""The project's model keeps pmodel's contract, and without noise it can learn the identity."""

import torch

import pmodel
from pmodel.testing import contract


def test_the_model_keeps_the_contract():
    contract("model=mine", "data=mine")


def test_without_noise_the_loss_is_the_error_of_the_reconstruction():
    model = pmodel.build("mine", data="mine", noise=0.0)
    batch = pmodel.build("data=mine", limit=8).examples("train", 8)
    error = (batch.x - model.reconstruct(batch.x)).square().flatten(1).sum(1)
    torch.testing.assert_close(model.loss(batch)["loss"].detach(), error)
