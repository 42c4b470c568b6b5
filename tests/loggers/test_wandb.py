"""What W&B gets, read back from the files of offline runs; and what becomes of a training when W&B fails."""

import gc
import json
import logging
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from built import WandbLogger
from omegaconf import OmegaConf
from support import ROOT, run_directory

from pmodel.commands.command_line import checked_command_line
from pmodel.config.check import check_overrides
from pmodel.config.tree import ConfigError
from pmodel.loggers.wandb_start import finish
from pmodel.runs.provenance import code_version

wandb = pytest.importorskip("wandb")
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args  # noqa: E402
from wandb_files import WandbFile, read, wandb_runs  # noqa: E402

# W&B drops its own process, once that is dead, without having waited for it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
SMALL = ["data.limit=64", "trainer.max_epochs=2", "callbacks.final.num_samples=2"]
MINIMAL = ["data.limit=64", "trainer.max_epochs=1", "callbacks=minimal", "callbacks.frechet=null"]
GAN_KEYS = ("val/d_real", "figures/samples")


def without_account(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "NETRC"):
        patch.setenv(name, str(home))


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path) -> Iterator[None]:
    without_account(monkeypatch, tmp_path / "home")
    yield
    wandb.finish()
    wandb.teardown()
    gc.collect()


def said(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith("W&B: ")]


@pytest.fixture(scope="module")
def multirun(tmp_path_factory) -> Path:
    """Two jobs in one process: one whose learning rate is 0, and one that learns, and then diverges."""
    root = tmp_path_factory.mktemp("multirun")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        without_account(patch, root / "home")
        typed = [
            "-m",
            "data=digits",
            "logger=wandb",
            "model.optimizer.lr=0.0,0.01",
            "logger.wandb.log_model=true",
            *SMALL,
        ]
        patch.setattr(sys, "argv", [str(ROOT / "train.py"), *typed, "trainer.max_epochs=5"])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    (folder,) = root.glob("logs/multirun/*")
    return folder


@pytest.fixture(scope="module")
def jobs(multirun) -> list[tuple[Path, WandbFile]]:
    folders = sorted(file.parent for file in multirun.glob("*/status.json"))
    return [(folder, run) for folder in folders for run in wandb_runs(folder)]


def test_two_jobs_of_one_process_are_two_runs_of_one_group_named_by_what_differs(multirun, jobs):
    assert len(jobs) == 2
    assert [run.id for _, run in jobs] == [(folder / "wandb_id").read_text().strip() for folder, _ in jobs]
    assert len({run.id for _, run in jobs}) == 2
    assert [run.group for _, run in jobs] == [multirun.name] * 2
    assert [run.tags for _, run in jobs] == [["model.optimizer.lr=0.0"], ["model.optimizer.lr=0.01"]]
    assert [run.name for _, run in jobs] == [f"{multirun.name}/{folder.name}" for folder, _ in jobs]
    assert [run.exit_code for _, run in jobs] == [0, 0]


def test_config_is_that_of_the_run_directory_with_size_code_and_devices(jobs):
    for (folder, run), lr in zip(jobs, (0.0, 0.01), strict=True):
        kept = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=False)
        assert {key: run.config.get(key) for key in kept} == kept
        assert run.config["model.optimizer.lr"] == lr
        assert str(folder.parents[3]) not in json.dumps({key: run.config[key] for key in kept})
        numbers = json.loads((folder / "results.json").read_text())["numbers"]
        (parameters,) = (number["value"] for number in numbers if number["name"] == "parameters")
        assert run.config["num_parameters"] == parameters
        assert run.config["world_size"] == 1
        assert run.config["code"] == code_version()


def test_summary_has_last_and_best_values_and_those_of_the_best_checkpoint(jobs):
    _, run = jobs[1]
    folder = jobs[1][0]
    loss, kl = run.values("val/loss"), run.values("val/kl")
    assert len(loss) == 5
    assert min(loss) < loss[-1] < max(loss)
    assert run.summary["val/loss"] == {"min": min(loss), "last": loss[-1]}
    assert run.summary["val/kl"] == {"min": min(kl), "max": max(kl), "last": kl[-1]}
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]["BestCheckpoint"]
    assert run.summary["best/epoch"] == best["best_epoch"] == loss.index(min(loss)) + 1
    for name, value in best["best_metrics"].items():
        assert run.summary[f"best/{name}"] == pytest.approx(value)
    # After each epoch that of the best so far, which a sweep's early end needs.
    assert run.values("best/val/loss") == [min(loss[: i + 1]) for i in range(5)]
    numbers = json.loads((folder / "results.json").read_text())["numbers"]
    final = {number["name"]: number["value"] for number in numbers if number["name"].startswith("negative_")}
    assert len(final) == 2
    assert {name: run.summary[f"final/{name}"] for name in final} == pytest.approx(final)


def test_images_of_epochs_differ_by_the_weights_alone(jobs):
    (_, still), (_, learning) = jobs
    for name in ("figures/samples", "figures/reconstructions", "figures/interpolations"):
        same, changed = still.images(name), learning.images(name)
        assert len(same) == len(changed) == 3  # after epochs 1, 2 and 5
        assert len(set(same)) == 1, name
        assert len(set(changed)) == 3, name
        assert same[0][:4] == b"\x89PNG"


def test_images_stand_at_the_step_of_their_epochs_numbers(jobs):
    for _, run in jobs:
        steps = {row["epoch"]: row["trainer/global_step"] for row in run.history if "val/loss" in row}
        assert [row["trainer/global_step"] for row in run.history if "figures/samples" in row] == [
            steps[epoch] for epoch in (0, 1, 4)
        ]


def test_checkpoints_are_artifacts_though_offline_one_version_each(jobs):
    for _, run in jobs:
        assert run.artifacts == {
            ("model", f"best-{run.id}"): ["best.ckpt"],
            ("model", f"last-{run.id}"): ["last.ckpt"],
        }


def test_a_resumed_job_goes_on_as_the_same_run_of_the_same_group(jobs, multirun, train, tmp_path):
    folder, before = jobs[1]
    # A copy: other tests look at what the jobs left.
    folder = shutil.copytree(multirun, tmp_path / multirun.name, symlinks=True) / folder.name
    outcome = train(f"resume={folder}", "trainer.max_epochs=6", "logger.wandb.log_model=false")
    assert outcome.code == 0, outcome.err
    after = wandb_runs(folder)[-1]
    assert after.folder != before.folder
    assert (after.id, after.group) == (before.id, multirun.name)
    assert after.values("epoch")[0] == 5
    assert after.summary["best/val/loss"] == min(before.values("val/loss") + after.values("val/loss"))
    assert after.artifacts == {}


def test_a_gans_images_stand_at_its_numbers_steps_though_it_takes_more_steps_than_batches(train, tmp_path):
    left_out = [f"callbacks.figures.include.{name}=null" for name in ("neighbours", "arithmetic", "loss_curves")]
    outcome = train("model=gan", "logger=wandb", *SMALL, "data.batch_size=16", "callbacks.frechet=null", *left_out)
    assert outcome.code == 0, outcome.err
    (run,) = wandb_runs(run_directory(tmp_path / "logs"))
    numbers, images = ([row["trainer/global_step"] for row in run.history if key in row] for key in GAN_KEYS)
    assert numbers == images == [3, 7]


def test_without_an_account_a_run_is_offline_and_says_so_once(train, tmp_path):
    outcome = train("logger=wandb", *MINIMAL)
    assert outcome.code == 0, outcome.err
    (line,) = said(outcome.out)
    assert "offline" in line
    run = run_directory(tmp_path / "logs")
    (file,) = wandb_runs(run)
    assert (file.group, file.tags) == ("", [])
    assert line.endswith(f"wandb sync {file.folder.relative_to(tmp_path)}")


def test_a_failed_training_is_marked_failed(train, tmp_path):
    outcome = train("logger=wandb", *MINIMAL, "model.optimizer.lr=1e300")
    assert outcome.code == 1
    (run,) = wandb_runs(run_directory(tmp_path / "logs"))
    assert run.exit_code == 1


def test_a_stopped_training_is_marked_by_its_signal(train, tmp_path, monkeypatch):
    from pmodel.loggers.wandb import WandbLogger as Class

    log = Class.log_metrics

    def log_and_stop(self, metrics, step=None):
        log(self, metrics, step)
        if "train/loss" in metrics:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Class, "log_metrics", log_and_stop)
    outcome = train("logger=wandb", *MINIMAL, "trainer.max_epochs=50")
    assert outcome.code != 0
    (run,) = wandb_runs(run_directory(tmp_path / "logs"))
    assert run.exit_code == outcome.code
    assert len(run.values("val/loss")) < 50


@pytest.fixture
def silent_server() -> Iterator[tuple[str, list]]:
    """Accepts connections and never answers; and the connections."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", accepted
        server.shutdown(socket.SHUT_RDWR)
    for connection in accepted:
        connection.close()


@contextmanager
def wandb_server(answers: dict[str, dict]) -> Iterator[str]:
    """Says that it is there, answers some of W&B's queries, by a word in each, and keeps the others waiting."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode(errors="replace")
            data = next((answer for word, answer in answers.items() if word in asked), None)
            if data is None:
                released.wait(60)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": data}).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()


def train_at(url: str, train, monkeypatch, tmp_path: Path) -> None:
    """Trains with an account on a W&B that is of no use, and expects a run that is complete and offline."""
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    outcome = train("logger=wandb", "logger.wandb.init_timeout=1", *MINIMAL)
    assert outcome.code == 0, outcome.err
    # All of it, its own statistics too, which it would send when the process ends.
    assert wandb.setup().settings.mode == "offline"
    (line,) = said(outcome.out)
    assert f"{url} can't be reached" in line
    (run,) = wandb_runs(run_directory(tmp_path / "logs"))
    assert line.endswith(f"kept offline; to send it later: uv run wandb sync {run.folder.relative_to(tmp_path)}")
    assert len(run.values("val/loss")) == 1
    assert run.exit_code == 0


def test_a_training_goes_on_where_wandb_refuses_the_connection(train, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    train_at(f"http://127.0.0.1:{port}", train, monkeypatch, tmp_path)


def test_a_training_goes_on_where_wandb_never_answers(train, monkeypatch, tmp_path, silent_server):
    url, accepted = silent_server
    train_at(url, train, monkeypatch, tmp_path)
    assert len(accepted) == 1  # asked once, and left alone by whatever W&B sends in the background


@pytest.mark.slow
def test_a_training_goes_on_where_wandb_gets_stuck_at_the_start(train, monkeypatch, tmp_path):
    with wandb_server({}) as url:
        train_at(url, train, monkeypatch, tmp_path)


def test_a_run_ends_within_a_bounded_time_where_wandb_takes_no_data(monkeypatch, tmp_path, capsys):
    (tmp_path / "wandb_id").write_text("abcd1234\n")
    bucket = {
        "id": "0",
        "name": "abcd1234",
        "project": {"name": "pmodel", "entity": {"name": "team"}},
        "historyLineCount": 0,
    }
    answers = {
        "RunResumeStatus": {"model": {"id": "0", "name": "pmodel", "entity": {"name": "team"}, "bucket": None}},
        "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": True}},
        "ServerFeatures": {"serverInfo": {"features": []}},
    }
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    with wandb_server(answers) as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        logger = WandbLogger(str(tmp_path), init_timeout=60, finish_timeout=1)
        logger.log_metrics({"val/loss": 1.0}, step=1)
        finish(0)  # would wait for hours
    started, ended = said(capsys.readouterr().out)
    assert started.startswith(f"W&B: {url}/team/pmodel/runs/")
    assert ended.startswith("W&B: not all was sent (")
    (file,) = Path(ended.partition("wandb sync ")[2]).glob("*.wandb")
    assert read(file).values("val/loss") == [1.0]


def test_a_call_that_fails_is_one_warning_and_no_error(tmp_path, caplog, monkeypatch):
    logger = WandbLogger(str(tmp_path), offline=True)

    def broken(*args: object) -> None:
        raise BrokenPipeError("the service is gone")

    monkeypatch.setattr(logger.experiment, "log", broken)
    with caplog.at_level(logging.WARNING, "pmodel"):
        logger.log_metrics({"train/loss": 1.0}, step=1)
        logger.log_metrics({"train/loss": 1.0}, step=2)
    assert [record.getMessage() for record in caplog.records if record.name == "pmodel"] == [
        "W&B has failed, and the training goes on: the service is gone"
    ]


def process_of_wandb() -> int:
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=2) for line in listed.splitlines()]
    # The program's name alone: ps cuts whole command lines at $COLUMNS.
    (pid,) = [int(pid) for pid, parent, name in lines if int(parent) == os.getpid() and name.endswith("wandb-core")]
    return pid


def test_the_end_of_wandbs_own_process_is_one_line_and_the_next_run_begins_anew(tmp_path, capsys, caplog):
    first = WandbLogger(str(tmp_path / "first"), offline=True)
    first.log_metrics({"val/loss": 1.0}, step=1)
    os.kill(process_of_wandb(), signal.SIGKILL)
    first.log_metrics({"val/loss": 2.0}, step=2)
    first.log_metrics({"val/loss": 3.0}, step=3)
    finish(0)
    offline, line = said(capsys.readouterr().out)
    assert offline.startswith("W&B: this run is logged offline; to send it later: uv run wandb sync ")
    assert line.startswith("W&B: not all was sent (")
    assert f"wandb sync {tmp_path / 'first'}" in line
    second = WandbLogger(str(tmp_path / "second"), offline=True)
    second.log_metrics({"val/loss": 4.0}, step=1)
    finish(0)
    (run,) = wandb_runs(tmp_path / "second")
    assert run.values("val/loss") == [4.0]
    assert run.exit_code == 0


def test_only_the_first_process_talks_to_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    logger = WandbLogger(str(tmp_path / "run"), offline=True)
    logger.log_hyperparams({"seed": 1})
    logger.log_metrics({"val/loss": 1.0}, step=1)
    logger.log_image("figures/samples", [], 1)
    logger.experiment.log({"val/loss": 1.0})
    logger.finalize("success")
    assert not (tmp_path / "run").exists()
    monkeypatch.delenv("LOCAL_RANK")
    logger.log_metrics({"val/loss": 1.0}, step=1)
    assert len(wandb_runs(tmp_path / "run")) == 1


def test_a_run_of_an_agent_has_the_agents_id_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "fromagent")
    alone = WandbLogger(str(tmp_path / "alone"), offline=True)
    assert alone.experiment.id == alone.version != "fromagent"  # the variable alone would be of all of a shell's runs
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    assert WandbLogger(str(tmp_path / "agents"), offline=True).experiment.id == "fromagent"
    monkeypatch.setenv("WANDB_RUN_ID", "another")
    assert WandbLogger(str(tmp_path / "agents"), offline=True).version == "fromagent"


@pytest.mark.parametrize("setting", ["log_model=all", "init_timeout=0", "finish_timeout=-1"])
def test_wrong_settings_are_named(setting):
    with pytest.raises(ConfigError, match=rf"\Alogger\.wandb\.{setting}: expected "):
        check_overrides("train", ["logger=wandb", f"logger.wandb.{setting}"])


SWEEP = str(ROOT / "conf" / "sweep" / "wandb.yaml")


def ends(parameter: dict) -> list:
    return parameter.get("values") or [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("end", [0, -1], ids=["first", "last"])
def test_an_agents_command_is_one_that_train_takes(end, capsys):
    sweep = yaml.safe_load(Path(SWEEP).read_text())
    chosen = {name: {"value": ends(parameter)[end]} for name, parameter in sweep["parameters"].items()}
    # As wandb_agent.py puts a command together.
    parts = {**create_sweep_command_args({"args": chosen}), "program": [sweep["program"]]}
    command = []
    for word in create_sweep_command(list(sweep["command"])):
        command += parts[word[2:-1]] if word.startswith("${") else [word]
    assert command[:3] == ["uv", "run", "train.py"]
    assert (ROOT / command[2]).exists()
    arguments = command[3:]
    assert [word for word in arguments if word.split("=")[0] in chosen] == [
        f"{name}={value['value']}" for name, value in chosen.items()
    ]
    assert sorted(checked_command_line("train", arguments)) == sorted(arguments)
    with pytest.raises(SystemExit):
        checked_command_line("train", [*arguments, "model.latent_dims=4"])


def test_a_sweep_minimizes_what_is_logged_after_each_epoch(jobs):
    sweep = yaml.safe_load(Path(SWEEP).read_text())
    metric = sweep["metric"]
    assert metric["goal"] == "minimize"
    values = jobs[1][1].values(metric["name"])
    assert len(values) == 5 >= sweep["early_terminate"]["min_iter"]
    assert isinstance(jobs[1][1].summary[metric["name"]], float)


def test_the_page_names_only_keys_that_are_logged(jobs):
    page = (ROOT / "docs" / "wandb.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"`((?:train|val|best|final|figures|timing|trainer)/[^`…]+)`", page))
    run = jobs[1][1]
    known = run.keys | set(run.summary) | set(run.config)
    assert len(keys) >= 8
    assert keys <= known, keys - known
    configs = set(re.findall(r"`config\.([^`]+)`", page))
    assert len(configs) >= 4
    assert configs <= set(run.config), configs - set(run.config)
