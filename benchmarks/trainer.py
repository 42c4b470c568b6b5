"""The training of `train.py` for benchmarks: as its config says, without validation and checkpoints."""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any


def composed(arguments: argparse.Namespace, *overrides: str) -> tuple[dict[str, Any], Any]:
    """The config of a training on `arguments.device`, as plain values, and its data, read."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pmodel.commands.quiet import quieten_libraries
    from pmodel.config.resolvers import register_resolvers
    from pmodel.instantiate import instantiate
    from pmodel.runs.typed import CONFIG_DIR

    quieten_libraries()
    warnings.filterwarnings("ignore", ".*image decoding and encoding")
    register_resolvers()
    own = [
        *(f"data_dir={Path(arguments.data_dir).absolute()}", "name=benchmark", f"paths.run_dir={tempfile.mkdtemp()}"),
        f"trainer.accelerator={'gpu' if arguments.device == 'cuda' else 'cpu'}",
        *("~callbacks.last", "~callbacks.best", "~callbacks.snapshots"),
    ]
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", [*overrides, *own]), resolve=True)
    data = instantiate(config["data"])
    data.prepare_data()
    data.setup("fit")
    return config, data


def train(config: dict[str, Any], data: Any, measure: Any, epochs: int) -> None:
    """Trains for so many epochs, with a callback that measures them."""
    from pmodel.callbacks.no_profiler import NoProfiler
    from pmodel.commands.strategies import adapted
    from pmodel.instantiate import instantiate

    model = instantiate(config["model"])
    settings = {**config["trainer"], "max_epochs": epochs, "limit_val_batches": 0, "enable_checkpointing": False}
    trainer = instantiate(
        settings,
        profiler=NoProfiler(),
        logger=[instantiate(node) for node in config["logger"].values()],
        callbacks=[measure, *(instantiate(node) for node in config["callbacks"].values())],
        **adapted(model, settings),
    )
    trainer.fit(model, datamodule=data)
