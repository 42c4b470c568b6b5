"""What is expected of a model's evaluation: a number, or a reason, for each question that there is."""

import math
from functools import cache
from typing import Any
from unittest.mock import patch

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from pmodel.config.resolvers import register_resolvers
from pmodel.evaluation.findings import Metric
from pmodel.evaluation.subject import Subject
from pmodel.features import dataset_network
from pmodel.files.printable import first_line
from pmodel.instantiate import instantiate
from pmodel.runs.results import Missing
from pmodel.runs.typed import CONFIG_DIR
from pmodel.testing.case import Case
from pmodel.testing.expect import expect

# Of metrics that count their draws: fewer.
FEWER = {
    "likelihood": {"num_samples": 3},
    "samples": {"num_samples": 30},
    "memorization": {"num_samples": 30},
    "clouds": {"num_samples": 30},
    "modes": {"num_samples": 30},
    "parzen": {"num_samples": 30},
}


def check_evaluation(case: Case) -> None:
    """Each quantity of conf/metric has a finite number with its protocol, or a reason why there is none."""
    try:
        found, reasons = findings(case.model, case.data)
    except Exception as error:
        got = f"{type(error).__name__}: {first_line(error)}"
        raise AssertionError(f"evaluation of {case.name}: expected numbers, got {got}") from error
    both = sorted(set(found) & set(reasons))
    expect(not both, f"evaluation of {case.name}", "a number or a reason", f"both for {', '.join(both)}")
    asked = {q.name: q for metric in metrics() for q in metric.asked(Subject(case.model, case.data, "test"))}
    neither = sorted(set(asked) ^ (set(found) | set(reasons)))
    expect(not neither, f"evaluation of {case.name}", "a number or a reason for each question", ", ".join(neither))
    empty = sorted(name for name, reason in reasons.items() if not reason)
    expect(not empty, f"evaluation of {case.name}", "a reason", f"an empty one for {', '.join(empty)}")
    every = len(case.data.examples("test", 10**6).x)
    for name, number in found.items():
        place, question = f"evaluation of {case.name}: {name}", asked[name].question
        answers = question is None or isinstance(case.model, question)
        expect(answers, place, "no number without an answer of the model", number["value"])
        expect(math.isfinite(number["value"]), place, "a finite number", number["value"])
        expect(name == "parameters" or number["protocol"], place, "a protocol", "none")
        if number.get("split") == "test":
            counted = number["protocol"].get("num_compared", every)
            expect(number["count"] == counted, place, f"a count of {counted}", number["count"])


def findings(model: Any, data: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The numbers of a quick evaluation on the test split, and the reasons for those that there are not, by name."""
    subject = Subject(model, data, "test")
    with patch.object(Subject, "PART", 15), patch.object(dataset_network, "NUM_STEPS", 3):
        found = [finding for metric in metrics() for finding in metric.ask(subject)]
    reasons = {finding.name: finding.reason for finding in found if isinstance(finding, Missing)}
    return {finding["name"]: finding for finding in found if isinstance(finding, dict)}, reasons


def metrics() -> list[Metric]:
    """Those of conf/metric, with few draws."""
    nodes = OmegaConf.to_container(OmegaConf.create(_composed()), resolve=True)["metric"]
    return [instantiate(node | FEWER.get(name, {})) for name, node in nodes.items() if node and name != "features"]


@cache
def _composed() -> str:
    """The settings of an evaluation as YAML, not resolved."""
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return OmegaConf.to_yaml(compose("eval", ["run=none", "cache_dir=null", "paths.run_dir=."]))
