"""Every command of README.md, docs/commands.md and docs/evaluation.md, run or composed as printed, and every option."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import script
from support import CONFIG_DIR, ROOT, run_directory

from pmodel.commands.command_line import checked_command_line

README, PAGE, OF_EVALUATION = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/commands.md", "docs/evaluation.md")
)


def printed(script: str, *pages: str) -> list[list[str]]:
    """The words after `uv run SCRIPT` of each command, once; but those in which something is left out."""
    lines = dict.fromkeys(re.findall(rf"^uv run {re.escape(script)} *(.*?)(?: +#.*)?$", "\n".join(pages), re.MULTILINE))
    return [shlex.split(line) for line in lines if "…" not in line]


COMMANDS = printed("train.py", README, PAGE)
# Makes any command of the pages a matter of seconds; the data and models stay as printed.
SMALL = ["data.limit=64", "trainer.max_epochs=1", "callbacks=minimal", "data.batch_size=32"]


def needs_mnist(command: list[str]) -> bool:
    return any(re.search(r"mnist(?!_5k)", argument) for argument in command)


def cases():
    for command in COMMANDS:
        marks = [pytest.mark.mnist] if needs_mnist(command) else []
        marks += [pytest.mark.gpu] if "trainer=gpu" in command else []
        # Processes that import everything; test_devices.py and commands/test_sweeps.py have the like of them.
        marks += [pytest.mark.slow] if {"trainer=ddp_cpu", "experiment=compare"} & set(command) else []
        yield pytest.param(command, id=" ".join(command) or "train.py", marks=marks)


def test_the_readme_shows_two_commands_and_five_things_to_try():
    assert README.count("\n") <= 80
    start, tried = (
        README.partition(f"## {title}")[2].partition("\n## ")[0] for title in ("Start", "Five things to try")
    )
    assert "`pip install uv`" in start
    assert re.findall(r"^uv run .*$", start, re.MULTILINE) == ["uv run train.py", "uv run pytest"]
    assert len(re.findall(r"^uv run .*$", tried, re.MULTILINE)) == 5


def test_the_page_of_commands_has_many():
    assert len(printed("train.py", PAGE)) >= 20
    assert len(printed("eval.py", OF_EVALUATION)) >= 5


@pytest.fixture
def train(monkeypatch, capfd, tmp_path):
    """Runs `train.py` as it is typed, on the data of its own choice too."""
    monkeypatch.chdir(tmp_path)
    return script("train.py", monkeypatch, capfd)


@pytest.mark.parametrize("command", list(cases()))
def test_each_command_runs_as_printed(command, train, tmp_path, request):
    if "trainer=gpu" in command and not torch.cuda.is_available():
        checked_command_line("train", command)
        pytest.skip("composes; no CUDA device to run it on")
    extra = list(SMALL)
    if needs_mnist(command):
        extra.append(f"data_dir={request.getfixturevalue('data_dir')}")
    if "--help" in command:
        extra = []
    if any(argument.startswith("resume=") for argument in command):
        assert train(*SMALL).code == 0
        run = tmp_path / next(a for a in command if a.startswith("resume=")).removeprefix("resume=")
        shutil.move(run_directory(tmp_path / "logs"), run)
        extra = ["trainer.max_epochs=2"]
    if any(argument.startswith("model.encoder.run=") for argument in command):
        assert train("data=mnist", *SMALL, extra[-1]).code == 0
        run = tmp_path / next(a for a in command if a.startswith("model.encoder.run=")).removeprefix(
            "model.encoder.run="
        )
        shutil.move(run_directory(tmp_path / "logs"), run)
        extra += ["data.limit=400"]  # enough for the labels asked for
    if any(argument.startswith("experiment=film_") for argument in command):
        extra.remove("callbacks=minimal")  # it sets up a film, and when figures are drawn
    if any("images.zip" in argument for argument in command):
        write_images(tmp_path)
    if any("images.npy" in argument for argument in command):
        np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8))
    if any("points.csv" in argument for argument in command):
        points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        (tmp_path / "points.csv").write_text("\n".join(f"{x:.4f},{y:.4f}" for x, y in points.tolist()))
    if "experiment=compare" in command:
        # Two of its ten, with the figures that it sets up itself.
        extra = ["model=pca,gan", *(argument for argument in extra if argument != "callbacks=minimal")]
    outcome = train(*command, *extra)
    assert outcome.code == 0, outcome.err


def write_images(folder: Path) -> None:
    """images.zip: 40 coloured images of 32×32 in train/ and 10 in test/."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        (folder / "images" / split).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / split / f"{i:02}.png")
    shutil.make_archive(str(folder / "images"), "zip", folder / "images")


def test_the_tables_name_every_option_of_every_group():
    for group, options in re.findall(r"^\| `([\w/]+)` \| (.*) \|$", PAGE, re.MULTILINE):
        named = set(re.findall(r"`(\w+)`", options))
        files = {file.stem for file in (CONFIG_DIR / group).glob("*.yaml")}
        assert named <= files, group
        # Parts of other options, which nobody chooses alone, and a file for W&B's own command.
        assert files - named <= ({"wandb"} if group == "sweep" else {"checkpoints", "figures"}), group


def path_in(command: list[str], key: str) -> str:
    return next(argument for argument in command if argument.startswith(key)).removeprefix(key)


def test_the_python_lines_of_the_readme_work_as_printed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1], names)
    assert (tmp_path / "samples.png").is_file()


@pytest.mark.parametrize("page", ["docs/python.md", "docs/evaluation.md"])
def test_the_python_lines_work_as_printed(page, train, tmp_path):
    assert train(*SMALL).code == 0
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = next(block for block in blocks if 'open_run("' in block)
    shutil.move(run_directory(tmp_path / "logs"), tmp_path / re.search(r'open_run\("(.*?)"\)', lines)[1])
    names: dict = {}
    exec(lines, names)
    assert names["images"].shape == (16, 1, 28, 28)
    assert names["x"].shape == (64, 1, 28, 28)


@pytest.mark.parametrize("command", printed("eval.py", README, PAGE, OF_EVALUATION), ids=" ".join)
def test_each_evaluation_runs_as_printed(command, train, evaluate, tmp_path):
    run = tmp_path / path_in(command, "run=")
    if "zoo" not in run.parts:
        assert train("model=pca", *SMALL, "logger=none").code == 0
        place = run / "0-pca-mnist_5k" if "multirun" in run.parts else run
        shutil.move(run_directory(tmp_path / "logs"), place)
    extra = ["metric.likelihood.num_samples=5", "metric.samples.num_samples=100", "metric.memorization.num_samples=100"]
    if "metric/features=inception" in command:
        # Its weights would be downloaded; that they would is what is said.
        (tmp_path / "nothing.pth").write_bytes(b"")
        outcome = evaluate(*command, "metric.features.weights=nothing.pth")
        assert "metric.features.weights=nothing.pth" in outcome.err
        return
    outcome = evaluate(*command, *extra)
    assert outcome.code == 0, outcome.err


def test_files_and_links_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"`((?:src|conf|tests|docs|benchmarks)/[\w/.]+)`", README):
        assert (ROOT / target).exists(), target
