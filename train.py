"""Trains a model on a data set: `uv run train.py --help`."""

import sys

import hydra
from omegaconf import DictConfig

from pmodel.config import checked_command_line


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from pmodel.runs import train

    train(config, list(HydraConfig.get().overrides.task))


if __name__ == "__main__":
    sys.argv[1:] = checked_command_line("train", sys.argv[1:])
    main()
