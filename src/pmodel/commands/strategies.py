"""What of the trainer's settings depends on a model's way of training."""

from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy

from pmodel.processes.launch import Launch, num_processes
from pmodel.runs.checkpoint_io import AtomicCheckpointIO
from pmodel.training.adversarial import AdversarialModule
from pmodel.training.gradient import GradientModule
from pmodel.training.streaming import StreamingModule


class StreamingDDP(DDPStrategy):
    """Several processes whose models exchange sums, and no gradients: there are none, which DDP's wrapper refuses."""

    def configure_ddp(self) -> None:
        """Leaves the model unwrapped."""


def adapted(model: LightningModule, settings: dict[str, Any]) -> dict[str, Any]:
    """The trainer's settings that a model needs otherwise than they are.

    - `strategy`, where that is auto, on several devices: one that the model can be trained by
    - gradient clipping, which Lightning leaves to a model under manual optimization: the model takes it over

    Raises:
        ValueError: for `accumulate_grad_batches` with a GAN, which has no meaning between its players' steps, and for
            devices that this machine does not have.
    """
    _check_devices(settings["accelerator"], settings["devices"])
    changed: dict[str, Any] = {"strategy": _strategy(model, settings)}
    if isinstance(model, AdversarialModule):
        if settings["accumulate_grad_batches"] != 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches={settings['accumulate_grad_batches']}: expected 1 with a GAN, whose"
                " players take turns; a larger data.batch_size does the same"
            )
        model.gradient_clip_val = settings["gradient_clip_val"]
        model.gradient_clip_algorithm = settings["gradient_clip_algorithm"]
        changed |= {"gradient_clip_val": None, "gradient_clip_algorithm": None}
    return changed


def plugins(launch: Launch) -> list[Any]:
    """What the trainer needs besides: how its processes find one another, said rather than guessed, and how checkpoints
    are written.

    Lightning would take any process in a Slurm job for one that `srun` started, and requeue jobs on its own.
    """
    if launch.by == "torchrun":
        environment: ClusterEnvironment = TorchElasticEnvironment()
    else:
        environment = SLURMEnvironment(auto_requeue=False) if launch.by == "slurm" else LightningEnvironment()
    return [environment, AtomicCheckpointIO()]


def _check_devices(accelerator: str, devices: int | str | list[int]) -> None:
    gpus, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    found = gpus or mps
    if (accelerator in ("gpu", "cuda") and not found) or (accelerator == "mps" and not mps):
        raise ValueError(
            f"trainer.accelerator={accelerator}: PyTorch finds no such device on this machine; trainer=default takes"
            " what there is"
        )
    if isinstance(devices, list) and not found:
        raise ValueError(f"trainer.devices={devices}: expected a number of processes, since there is no GPU here")
    if isinstance(devices, list) and gpus and not set(devices) <= set(range(gpus)):
        raise ValueError(f"trainer.devices={devices}: expected numbers from 0 to {gpus - 1}, the GPUs of this machine")


def _strategy(model: LightningModule, settings: dict[str, Any]) -> str | Strategy:
    alone = num_processes(settings) == 1 and settings["num_nodes"] == 1
    if "fsdp" in settings["strategy"] and not isinstance(model, GradientModule):
        raise ValueError(
            f"trainer.strategy={settings['strategy']}: expected a model that is trained by one gradient, such as a VAE"
            " or a PixelCNN; trainer=gpu trainer.devices=… shares the work of any model"
        )
    if alone or settings["strategy"] not in ("auto", "ddp"):
        return settings["strategy"]
    if isinstance(model, StreamingModule):
        return StreamingDDP()
    if isinstance(model, AdversarialModule):
        if settings["strategy"] == "auto":
            return "ddp_find_unused_parameters_true"
        raise ValueError(
            "trainer.strategy=ddp: expected auto or ddp_find_unused_parameters_true with a GAN, each of whose backward"
            " passes reaches one player alone"
        )
    return settings["strategy"]
