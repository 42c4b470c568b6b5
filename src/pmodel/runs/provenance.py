"""Where numbers come from: the machine, the libraries and the code."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def provenance(device: torch.device, num_devices: int) -> dict[str, Any]:
    """What all numbers of a results file share: hardware, versions and code."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "hardware": f"{num_devices} × {hardware}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("pmodel", "torch", "lightning")},
        "code": code_version(),
    }


def code_version() -> str:
    """The commit of the source tree, with `-dirty` if it was changed since; "unknown" outside of a git checkout."""
    root = Path(__file__).parents[3]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    # Of no other repository, within which this package is installed.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.parent)}
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, env=environment)
    except OSError:
        return "unknown"
    return result.stdout.strip() or "unknown"
