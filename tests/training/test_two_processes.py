"""The same global batch on one and on two processes gives the same training, step by step, to rounding."""

from functools import partial
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch import Callback
from support import build, config, fit, on_two_processes

from pmodel.commands.strategies import adapted
from pmodel.nets.batch_share import batch_mean, own_share, share
from pmodel.nets.dropout import Dropout

# Three batches of 32, and one of 3, of which the processes have 1 and 2.
DATA = ["data.limit=99", "data.batch_size=32", "data.eval_batch_size=31"]
SGD = ["model/optimizer=sgd", "model.optimizer.lr=1e-3", "model.optimizer.momentum=0.5"]
VAE = [
    "model=vae",
    *SGD,
    "model.latent_dim=3",
    "model.network.encoder.hidden_dims=[16]",
    "model.network.decoder.hidden_dims=[16]",
    "data.binarize=dynamic",
]
GAN = ["model=gan", "model.latent_dim=3", "model.class_conditional=true", "model.num_discriminator_steps=2"]
for player in ("generator", "discriminator"):
    GAN += [
        f"model/optimizer@model.optimizer.{player}=sgd",
        f"model.optimizer.{player}.lr=1e-2",
        f"model.players.{player}.hidden_dims=[16]",
    ]
KINDS = {
    "vae": [*VAE, "model.ema_decay=0.9", "model/schedule=cosine"],
    "vae, free bits": [*VAE, "model.free_bits=0.05", "model.beta_warmup=6"],
    "vae, dequantized": [*VAE[:-1], "data.dequantize=true", "data.flip=true", "model.likelihood=gaussian"],
    "pixelcnn_gated": [
        *["model=pixelcnn_gated", *SGD, "model.dropout=0.5", "model.class_conditional=true"],
        *["model.hidden_channels=8", "model.num_layers=2", "model.head_channels=8"],
    ],
    "gan": [*GAN, "model.r1=1", "model.instance_noise=0.1", "model.ema_decay=0.9"],
    "gan, penalty": [*GAN, "model.objective=wasserstein_gp"],
    "gmm": ["model=gmm", "model.num_components=3", "model.reg_covar=1e-2"],
}


class Record(Callback):
    """Keeps the numbers of each step over all devices, and this device's examples."""

    def __init__(self) -> None:
        self.values, self.x = [], []

    def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values.append(model.step_values(model.last_terms) if model.last_terms else {})
        self.x.append(batch.x.clone())


def trained(kind: str, devices: int, rank: int = 0, **settings: Any) -> dict[str, Any]:
    lightning.seed_everything(3, verbose=False)
    overrides = [*KINDS[kind], *DATA, f"trainer.devices={devices}"]
    model, data = build(*overrides)
    record = Record()
    changed = adapted(model, config(*overrides)["trainer"])
    trainer = fit(model, data, max_epochs=3, callbacks=[record], devices=devices, **changed, **settings)
    assert trainer.world_size == devices
    noise = torch.rand(3)  # the generators have gone equally far
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    return {"weights": model.state_dict(), "values": record.values, "x": record.x, "noise": noise, "metrics": metrics}


@pytest.fixture(scope="module", params=KINDS)
def one_and_two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    ranks = on_two_processes(partial(trained, request.param, 2), tmp_path_factory.mktemp("two"))
    return trained(request.param, 1), ranks


def test_two_processes_see_each_example_of_the_same_batches_once_and_with_the_same_draws(one_and_two):
    one, ranks = one_and_two
    shares = list(zip(*(rank["x"] for rank in ranks), strict=True))
    assert [len(a) - len(b) for a, b in shares][:4] == [0, 0, 0, -1]
    for whole, parts in zip(one["x"], shares, strict=True):
        assert torch.equal(whole, torch.cat(parts))


def test_two_processes_take_the_steps_of_one(one_and_two):
    one, ranks = one_and_two
    for rank in ranks:
        for number, (a, b) in enumerate(zip(one["values"], rank["values"], strict=True)):
            # Sums in another order, in float32; a difference grows a little from step to step.
            assert b == pytest.approx(a, rel=2e-4, abs=1e-5), number
        assert rank["metrics"] == pytest.approx(one["metrics"], rel=2e-4, abs=1e-5)
        assert torch.equal(rank["noise"], one["noise"])
        for name, weight in one["weights"].items():
            torch.testing.assert_close(rank["weights"][name], weight, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: n + m)


def test_weights_of_two_processes_are_equal(one_and_two):
    _, (first, second) = one_and_two
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in first["weights"])


def test_shares_of_noise_are_those_of_the_whole_batch():
    torch.manual_seed(0)
    whole, state = own_share(lambda n: torch.randn(n, 3), 5), torch.get_rng_state()
    parts = []
    for first, count in ((0, 2), (2, 3)):
        torch.manual_seed(0)
        with share(first, count, 5):
            parts.append(own_share(lambda n: torch.randn(n, 3), count))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 1, 3), (3, 2, 1, 0)])
def test_dropout_of_a_share_is_that_of_the_whole_batch_however_it_lies_in_memory(order):
    x = torch.randn([(5, 2, 4, 3)[i] for i in order]).permute([order.index(i) for i in range(4)])
    assert x.shape == (5, 2, 4, 3)
    dropout = Dropout(0.3)
    torch.manual_seed(0)
    whole = dropout(x)
    for first, count in ((0, 2), (2, 3)):
        torch.manual_seed(0)
        with share(first, count, 5):
            assert torch.equal(dropout(x[first : first + count]), whole[first : first + count])
            assert torch.equal(Dropout(0.3).eval()(x), x)


def test_a_batch_on_one_device_is_averaged_as_it_is():
    x = torch.randn(4, 3, requires_grad=True)
    with share(0, 4, 4):
        assert torch.equal(batch_mean(x), x.mean(0))


def mean_of_share(rank: int) -> dict[str, torch.Tensor]:
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    x = torch.arange(15.0).view(5, 3)
    first, count = ((0, 2), (2, 3))[rank]
    with share(first, count, 5):
        return {"mean": batch_mean(x[first : first + count]), "expected": x.mean(0)}


def test_a_shared_batch_is_averaged_over_all_devices(tmp_path):
    for found in on_two_processes(mean_of_share, tmp_path):
        assert torch.equal(found["mean"], found["expected"])
