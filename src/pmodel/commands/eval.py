"""`pmodel eval`: evaluates finished runs and lays them side by side."""

import shutil
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pmodel.commands.command_line import checked_command_line
from pmodel.commands.deferred import defer_imports
from pmodel.commands.sharing import sharing
from pmodel.files.printable import setting
from pmodel.runs.typed import CONFIG_DIR


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="eval")
def main(config: DictConfig) -> None:
    settings = OmegaConf.to_container(config, resolve=True)
    folder = setting("hydra.run.dir", settings["paths"]["run_dir"])  # the others began a second later
    with sharing("eval", settings["trainer"], folder):
        evaluate(settings, list(HydraConfig.get().overrides.task))


def evaluate(settings: dict[str, Any], typed: list[str]) -> None:
    """Evaluates the runs that settings name, and says what was written.

    typed: the words of the command
    """
    # These take seconds: a wrong config, or a run that isn't there, has been refused by now.
    import lightning

    from pmodel.commands.evaluation import Evaluation, one_line_errors
    from pmodel.commands.quiet import quieten_libraries
    from pmodel.files.printable import shown
    from pmodel.files.run_files import RESULTS
    from pmodel.processes.group import ProcessGroup
    from pmodel.processes.launch import is_first
    from pmodel.reporting.comparison_text import comparison_text

    quieten_libraries()
    folder = Path(settings["paths"]["run_dir"])
    with one_line_errors(folder, 2):
        group = ProcessGroup.launch(settings["trainer"]["accelerator"], settings["trainer"]["devices"])
        lightning.seed_everything(0, verbose=False)
        evaluation = Evaluation(settings, group)
    with one_line_errors(folder, 1):
        results = evaluation.results()
        if not is_first():
            return
        results["overrides"] = typed
        report = evaluation.write(results)
        print(f"\n{comparison_text(results, shutil.get_terminal_size((132, 24)).columns)}\n")
        print(f"results   {shown(evaluation.folder / RESULTS)}\nreport    {shown(report)}", flush=True)
        if results["failed"]:
            first = results["failed"][0]
            raise ValueError(f"{len(results['failed'])} runs could not be evaluated, the first: {first['reason']}")


def run() -> None:
    """Does what the words of the command line ask for, and ends the process where they are wrong."""
    sys.argv[1:] = checked_command_line("eval", sys.argv[1:])
    defer_imports()
    main()
