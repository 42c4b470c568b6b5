"""Rehearses benchmarks/gpu.sh in an environment as a GPU machine has it: an older torch, no Hydra, no network, no GPU.

Makes a virtual environment of Python 3.12 (5 GB, kept for the next time), copies the working tree as git sees it, makes
vendor/ by the command in the head of gpu.sh, and runs gpu.sh there with DEVICE=cpu, without its samplers and its other
benchmarks, which take a CPU hours. What comes back is held against what gpu.sh promises: an end within its minutes, no
import error, every training evaluated, an archive that both pages can be written from. Then --tests run there, too.

    uv run benchmarks/gpu_environment.py FOLDER [--minutes 12] [--python 3.12] [--tests tests/nets tests/models]
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTALLED = (
    *("torch==2.11.*", "torchvision==0.26.*", "lightning>=2.6.4,<2.7", "torchmetrics", "scipy", "scikit-learn"),
    *("matplotlib", "pillow", "jinja2", "tensorboard", "pytest"),
)
TRAININGS = (
    "experiment=vae_mnist,data.limit=1000,trainer.max_epochs=1",
    "experiment=pixelcnn_mnist,data.limit=100,trainer.max_epochs=1",
)
FAULTS = ("Traceback", "Error importing", "ModuleNotFoundError", "ImportError", "DeprecationWarning", "error:")
MAX_VENDOR_BYTES = 60e6
# There is no pytest-xdist, whose options pyproject.toml has.
PYTEST = ("python", "-m", "pytest", "-o", "addopts=--import-mode=importlib")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="keeps the environment; the rest in it is made anew")
    parser.add_argument("--minutes", type=int, default=12, help="that gpu.sh is given")
    parser.add_argument("--python", default="3.12", help="a version or a path, as uv takes it")
    parser.add_argument("--tests", nargs="*", default=[], metavar="PATH", help="run these there at the end")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    environment, tree, out = folder / "environment", folder / "tree", folder / "out"
    if not environment.exists():
        run(["uv", "venv", "-q", "--python", arguments.python, environment], folder.parent)
        run(["uv", "pip", "install", "-q", "--python", environment / "bin" / "python", *INSTALLED], folder.parent)
    for old in (tree, out):
        shutil.rmtree(old, ignore_errors=True)
    out.mkdir()
    copy_tree(tree)
    run(["bash", "-c", vendor_command()], tree)
    size = sum(file.stat().st_size for file in (tree / "vendor").rglob("*") if file.is_file())
    print(f"vendor    {size / 1e6:.1f} MB")
    assert size < MAX_VENDOR_BYTES
    settings = {"OUT": str(out), "DEVICE": "cpu", "STEPS": "tests,epoch,trainings"}
    settings |= {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    mnist = ROOT.parent / "shared" / "data" / "MNIST"
    if mnist.exists():
        (tree / "shared" / "data").mkdir(parents=True)
        (tree / "shared" / "data" / "MNIST").symlink_to(mnist)
    start = time.monotonic()
    code = run([*offline(), "benchmarks/gpu.sh", arguments.minutes, *TRAININGS], tree, settings, check=False)
    seconds = time.monotonic() - start
    print(f"gpu.sh    exit code {code}, {seconds:.0f} of {60 * arguments.minutes} s")
    assert code == 0
    assert seconds <= 60 * arguments.minutes
    check_archive(out / "gpu.tar.gz", folder / "home")
    if arguments.tests:
        settings["PYTHONPATH"] = "src:vendor"
        sys.exit(run([*offline(), *PYTEST, "-q", *arguments.tests], tree, settings, check=False))


def run(command: list, where: Path, settings: dict[str, str] | None = None, check: bool = True) -> int:
    where.mkdir(parents=True, exist_ok=True)
    # Of this process's Python nothing is handed on.
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run([*map(str, command)], cwd=where, env=own | (settings or {}), check=check).returncode


def offline() -> list[str]:
    """The start of a command that is to have no network: a namespace of its own, else proxies that nobody serves."""
    # Several processes of one training talk over the loopback, which a new namespace has to be told to begin.
    command = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
        return command
    print("warning: no network namespace here; proxies at a closed port instead")
    return ["env", *(f"{name}=http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy"))]


def copy_tree(target: Path) -> None:
    """What git tracks, as it is now, and what it would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def vendor_command() -> str:
    """The command that makes vendor/, as the head of gpu.sh has it."""
    head = (ROOT / "benchmarks" / "gpu.sh").read_text(encoding="utf-8")
    (command,) = re.findall(r"^# +(uv export .*\\\n# .*)$", head, re.MULTILINE)
    return command.replace("\\\n#", "")


def check_archive(archive: Path, home: Path) -> None:
    """The steps came to their ends, nothing was missing, and the project writes its pages from what came back."""
    shutil.rmtree(home, ignore_errors=True)
    copy_tree(home)
    with tarfile.open(archive) as opened:
        opened.extractall(home, filter="data")
    kept = home / "logs" / "on_gpu"
    steps = {line.split()[0]: line.split()[1] for line in (kept / "steps.txt").read_text().splitlines() if line}
    expected = [
        "start",
        "tests",
        "epoch",
        *(f"{step}{i}" for i in range(len(TRAININGS)) for step in ("run", "eval", "results")),
    ]
    assert all(steps[name] == "done" for name in expected), steps
    for file in kept.glob("*.txt"):
        found = [line for line in file.read_text().splitlines() if any(fault in line for fault in FAULTS)]
        assert not found, f"{file.name}: {found[0]}"
    run([sys.executable, "docs/results.py", *sorted(kept.glob("run?"))], home)
    run([sys.executable, "benchmarks/run.py", "--only", "none"], home)
    page = (home / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "torch 2.11" in page
    assert len(list((home / "docs" / "results").glob("*limit=*.json"))) == len(TRAININGS)
    print(f"archive   {archive.stat().st_size / 1e6:.2f} MB, its pages are written")


if __name__ == "__main__":
    main()
