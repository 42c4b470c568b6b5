"""`pmodel encode`: what the model of a finished run says of each example of a data set, as a table."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.deferred import defer_imports
from pmodel.runs.typed import CONFIG_DIR


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="encode")
def main(config: DictConfig) -> None:
    # These take seconds: a wrong config, or a run that isn't there, has been refused by now.
    from pmodel.commands.encoding import Encoding
    from pmodel.commands.quiet import quieten_libraries
    from pmodel.commands.sharing import one_line, sharing
    from pmodel.processes.group import ProcessGroup
    from pmodel.processes.launch import is_first

    chosen = HydraConfig.get()
    with sharing("encode", dict(config.trainer)):
        quieten_libraries()
        with one_line(2):
            group = ProcessGroup.launch(config.trainer.accelerator, config.trainer.devices)
            encoding = Encoding(config, chosen.runtime.choices.get("data"), list(chosen.overrides.task), group)
        with one_line(1):
            line = encoding.write()
            if is_first():
                print(line, flush=True)


def run() -> None:
    """Does what the words of the command line ask for, and ends the process where they are wrong."""
    # Without data=…, the settings are those of the run, which Hydra does not know.
    own = not any(word.startswith("data=") for word in sys.argv[1:])
    words = [f"++{word}" if own and word.startswith("data.") else word for word in sys.argv[1:]]
    sys.argv[1:] = checked_command_line("encode", words)
    defer_imports()
    main()
