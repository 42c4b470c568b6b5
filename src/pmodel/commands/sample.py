"""`pmodel sample`: draws from the model of a finished run into files."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.deferred import defer_imports
from pmodel.processes.stopping import interruptible
from pmodel.runs.typed import CONFIG_DIR


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="sample")
def main(config: DictConfig) -> None:
    # These take seconds: a wrong config, or a run that isn't there, has been refused by now.
    from pmodel.commands.sharing import one_line, sharing

    settings = OmegaConf.to_container(config, resolve=True)
    typed = list(HydraConfig.get().overrides.task)
    with sharing("sample", settings["trainer"]):
        from pmodel.commands.quiet import quieten_libraries
        from pmodel.commands.sampling import Sampling
        from pmodel.processes.group import ProcessGroup
        from pmodel.processes.launch import is_first

        quieten_libraries()
        with one_line(2):
            group = ProcessGroup.launch(settings["trainer"]["accelerator"], settings["trainer"]["devices"])
            sampling = Sampling(settings, group, typed)
        with one_line(1):
            line = sampling.draw()
            if is_first():
                print(line, flush=True)


def run() -> None:
    """Does what the words of the command line ask for, and ends the process where they are wrong."""
    with interruptible(lambda: "the same command goes on"):
        sys.argv[1:] = checked_command_line("sample", sys.argv[1:])
        defer_imports()
        main()
