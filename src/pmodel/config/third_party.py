"""Ranges of the settings of other people's classes, whose signatures say less; read as text, like those. And the
libraries that not everybody has."""

from importlib.util import find_spec
from typing import Annotated, Literal, TypedDict

from annotated_types import Ge, Gt, Le, Lt

from pmodel.settings.ranges import Count, Fraction, NonNegative, Seed, Whole

# The class here that says more of a target, by how the target begins; the first that fits.
RANGES = {
    "torch.optim.lr_scheduler.": "Schedule",
    "torch.optim.": "Optimizer",
    "sklearn.": "Estimator",
    "lightning.pytorch.Trainer": "Trainer",
}

SUBMITIT = ("hydra_plugins.hydra_submitit_launcher", "pmodel[submitit]")
# What classes need that a training can do without: the module, and what to install.
LIBRARIES = {
    "pmodel.loggers.wandb.WandbLogger": ("wandb", "wandb"),
    "lightning.pytorch.loggers.TensorBoardLogger": ("tensorboard", "pmodel[tensorboard]"),
    "hydra_plugins.pmodel.launchers.JoblibLauncher": ("hydra_plugins.hydra_joblib_launcher", "hydra-joblib-launcher"),
    "hydra_plugins.pmodel.launchers.SubmititLocalLauncher": SUBMITIT,
    "hydra_plugins.pmodel.launchers.SlurmLauncher": SUBMITIT,
    "hydra_plugins.pmodel.search.OptunaSweeper": ("optuna", "pmodel[optuna]"),
    "pmodel.data.huggingface.HuggingFace": ("datasets", "pmodel[huggingface]"),
}


def missing_library(target: str) -> str | None:
    """The library that a class needs and the command that installs it, if it isn't installed."""
    module, library = LIBRARIES.get(target, (None, None))
    spec = find_spec(module) if module else None
    # A folder of that name, as W&B makes one, is a package without a file.
    is_there = module is None or (spec is not None and spec.origin is not None)
    return None if is_there else f"{library}, which is not installed: pip install '{library}'"


class Optimizer(TypedDict):
    """torch.optim"""

    lr: NonNegative
    betas: tuple[Fraction, Fraction]
    eps: NonNegative
    alpha: NonNegative
    momentum: NonNegative
    weight_decay: NonNegative


class Estimator(TypedDict):
    """sklearn"""

    n_components: Count | Annotated[float, Gt(0), Lt(1)] | Literal["mle", "auto", "warn"] | None
    n_clusters: Count | None
    max_iter: Count
    random_state: Seed | None
    n_jobs: int | None
    memory: None


class Schedule(TypedDict):
    """torch.optim.lr_scheduler"""

    T_max: Count
    eta_min: NonNegative
    factor: Annotated[float, Ge(0), Le(1)]
    start_factor: Annotated[float, Gt(0), Le(1)]
    end_factor: Annotated[float, Ge(0), Le(1)]
    total_iters: Whole
    gamma: Annotated[float, Gt(0)]
    step_size: Count


class Trainer(TypedDict):
    """lightning.pytorch.Trainer; what a strategy or a plugin may add to it is typed as a `_target_`."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    strategy: (
        Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"]
        | Literal["ddp_spawn", "ddp_fork", "ddp_notebook", "fsdp", "fsdp_cpu_offload"]
        | Literal["single_device", "deepspeed", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3"]
        | dict
    )
    precision: (
        Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "bf16"] | Literal[16, 32, 64]
    )
    devices: list[Whole] | int | str
    num_nodes: Count
    max_epochs: Annotated[int, Ge(-1)] | None
    min_epochs: Whole | None
    max_steps: Annotated[int, Ge(-1)]
    min_steps: Whole | None
    max_time: str | dict[str, Whole] | None
    limit_train_batches: Count | Annotated[float, Gt(0), Le(1)] | None
    limit_val_batches: Whole | Annotated[float, Ge(0), Le(1)] | None
    limit_test_batches: Whole | Annotated[float, Ge(0), Le(1)] | None
    overfit_batches: Whole | Annotated[float, Ge(0), Le(1)]
    val_check_interval: Count | Annotated[float, Gt(0), Le(1)] | None
    check_val_every_n_epoch: Count | None
    num_sanity_val_steps: Annotated[int, Ge(-1)] | None
    log_every_n_steps: Whole | None
    accumulate_grad_batches: Count
    gradient_clip_val: NonNegative | None
    gradient_clip_algorithm: Literal["norm", "value"] | None
    deterministic: bool | Literal["warn"] | None
    profiler: Literal["simple", "advanced", "pytorch"] | dict | None
