"""Short names for the runs of an evaluation."""

import re
import textwrap

from pmodel.commands.sweep_jobs import differing, typed_settings
from pmodel.runs.opening import Run

# Settings that tell no runs apart, and the length of a label.
UNSEEN = ("logger", "callbacks", "paths.", "data_dir", "cache_dir", "hydra")
LONGEST = 60


def labels(runs: list[Run]) -> list[str]:
    """A short name for each run, no two alike: the run's own, what was typed for it where others have the same one, and
    at last a number."""
    names = [str(run.config.get("name", run.folder.name)) for run in runs]
    endings = {name.rpartition("-")[2] for name in names}
    if len(names) > 1 and len(endings) == 1:
        names = [name.rpartition("-")[0] or name for name in names]  # all are on the same data
    typed = [typed_settings(run.folder) for run in runs]
    for name in {name for name in names if names.count(name) > 1}:
        group = [i for i, other in enumerate(names) if other == name]
        keys = differing([typed[i] for i in group])
        for i in group:
            own = [f"{key}={typed[i][key]}" for key in keys if key in typed[i] and not key.startswith(UNSEEN)]
            names[i] = textwrap.shorten(" ".join([name, *own]), LONGEST, placeholder=" …")
    repeated = {name for name in names if names.count(name) > 1}
    return [f"{name} ({names[: i + 1].count(name)})" if name in repeated else name for i, name in enumerate(names)]


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", label)[:60].strip("._") or "run"
