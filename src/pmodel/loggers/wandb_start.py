"""How a W&B run begins, online where W&B answers, else offline, and how it ends."""

import os
import ssl
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pmodel.files.printable import first_line, shown


def start(folder: Path, about: dict[str, Any], offline: bool, settings: dict[str, Any]) -> Any:
    """A W&B run, and a line that says where it is: online if that works, else offline."""
    import wandb

    wandb.teardown()  # it keeps the settings of an earlier run of this process
    wandb.setup(settings=wandb.Settings(silent=True))
    # Another run of this process would otherwise be resumed.
    common = {**about, "dir": str(folder), "reinit": "finish_previous"}
    common["settings"] = wandb.Settings(silent=True, **settings)
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled"):
        return wandb.init(**common)
    reason = "this run is logged offline"
    if not offline and not wandb.login(prompt=False, verify=False):
        reason = "no account on this machine, so this run is logged offline (`uv run wandb login` changes that)"
    elif not offline:
        url = wandb.setup().settings.base_url
        problem = unreachable(url, settings["init_timeout"])
        if problem is None:
            try:
                run = wandb.init(**common, resume="allow")
                print(f"W&B: {run.url}", flush=True)
                return run
            except Exception as error:  # an expired key, a full disk at W&B, an answer that makes no sense
                problem = first_line(error)
        reason = f"{url} can't be reached ({problem}), so this run is kept offline"
    wandb.teardown()  # else the id is still in use, where the run could not begin
    # Or its statistics of itself would be sent, and hold up the end of the process where nobody answers. Not by
    # WANDB_MODE, which would be that of every later run of this process.
    wandb.setup(settings=wandb.Settings(silent=True, mode="offline"))
    run = wandb.init(**common, mode="offline")
    print(f"W&B: {reason}; to send it later: uv run wandb sync {shown(Path(run.dir).parent)}", flush=True)
    return run


def finish(exit_code: int) -> None:
    """Ends this process's W&B run, if it has one, as finished or failed; if W&B itself fails, that is one line."""
    wandb = sys.modules.get("wandb")
    run = wandb.run if wandb is not None else None
    if run is None:
        return
    try:
        run.finish(exit_code=exit_code)
    except Exception as error:  # it took longer than finish_timeout, or W&B's own process is gone
        where = shown(Path(run.dir).parent)
        print(f"W&B: not all was sent ({first_line(error)}); to send the rest: uv run wandb sync {where}", flush=True)
        with suppress(Exception):
            wandb.teardown()  # the next run begins anew


def unreachable(url: str, timeout: float) -> str | None:
    """Why nothing answers at a URL; None if anything does.

    W&B itself would try again for as long, but then keep trying at the end of the process too.
    """
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout).close()
    except (urllib.error.HTTPError, HTTPException):
        return None  # it did answer
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return None if isinstance(reason, ssl.SSLError) else str(reason)  # which is an answer too
    return None
