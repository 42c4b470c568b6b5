"""Training on data that lie on disk: private memory on 6 GB, and time against data in memory and PyTorch's loaders.

Memory: `train.py` with its defaults, one epoch of each model on two million colour images of 32×32 pixels (6 GB), under
a limit of 2 GiB of private memory (`ulimit -d`; mapped pages don't count). The rows show the peak of RssAnon, of the
training process at any time, beside that limit.

Time: one epoch on a part of these images whose pages are in memory already, against the same images held in memory. On
real JPEGs (`cifar10-jpeg.zip` or a folder of that name in `data_dir`) an epoch of batches alone, after the first pass,
which decodes them, against torchvision's ImageFolder with a DataLoader of two workers.

Exactness: runs on shards of an eighth of a data set are killed at random moments, also while a shard is written, and
resumed, on one process and on two: their ends must be those of runs that were never killed, bit by bit.

    uv run benchmarks/out_of_core.py --data-dir ../shared/data [--only memory,time,jpeg,kills]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness import in_turn, main, row

ROOT = Path(__file__).parents[1]
GIB = 2**30
LIMIT = 2 * GIB
SHAPE, COUNT, PART = (3, 32, 32), 2_000_000, 60_000
# One epoch each; the mixture with one variance for each of the 3072 dimensions, the VAE with one logistic for each and
# small networks, so that reading the data counts.
SMALL = [f"model.network.{part}.hidden_dims=[64]" for part in ("encoder", "decoder")]
MODELS = {
    "kmeans": ["model=kmeans"],
    "pca": ["model=pca"],
    "gmm": ["model=gmm", "model.covariance_type=diagonal", "model.reg_covar=1e-3"],
    "vae": ["model=vae", "model.num_mixtures=1", *SMALL, "data.batch_size=512"],
}


def measure(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    chosen = arguments.only.split(",")
    count = 20_000 if arguments.quick else COUNT
    with tempfile.TemporaryDirectory(dir=arguments.folder or None) as folder:
        file = Path(folder, "images.npy")
        if {"memory", "time"} & set(chosen):
            write_images(file, count)
        if "memory" in chosen:
            for name in MODELS:
                yield memory_row(name, file, Path(folder))
        if "time" in chosen:
            part = Path(folder, "part.npy")
            write_images(part, min(count, PART))
            for name in MODELS:
                yield time_row(name, part, rounds=2 if arguments.quick else 5)
        if "jpeg" in chosen and (found := jpeg_row(Path(arguments.data_dir), Path(folder), arguments.quick)):
            yield found
        if "kills" in chosen:
            yield kills_row(Path(folder), trials=4 if arguments.quick else 24)


def write_images(file: Path, count: int) -> None:
    """Images (count, 3, 32, 32), uint8: ten thousand smooth ones with noise, again and again in other orders."""
    import numpy as np

    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 256, (50, 3, 4, 4)).repeat(8, 2).repeat(8, 3)
    block = kinds[generator.integers(0, 50, 10_000)] + generator.integers(-30, 31, (10_000, *SHAPE))
    block = block.clip(0, 255).astype(np.uint8)
    images = np.lib.format.open_memmap(file, "w+", np.uint8, (count, *SHAPE))
    for first in range(0, count, len(block)):
        images[first : first + len(block)] = block[generator.permutation(len(block))[: count - first]]
    images.flush()
    del images


def memory_row(name: str, file: Path, folder: Path) -> dict[str, Any]:
    """One epoch as a user trains it, under the limit, and the peak of its private memory."""
    run = folder / name
    words = [*MODELS[name], "data=arrays", f"data.path={file}", "trainer.max_epochs=1", "trainer=cpu"]
    words += [f"hydra.run.dir={run}", f"data_dir={folder / 'data'}", "callbacks.progress.refresh_per_second=0.1"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))

    begin, peak = time.perf_counter(), 0
    with (folder / f"{name}.txt").open("w") as output:
        command = [sys.executable, str(ROOT / "train.py"), *words]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, preexec_fn=limit)
        while process.poll() is None:
            peak = max(peak, private_memory(process.pid))
            time.sleep(0.1)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{(folder / f'{name}.txt').read_text()[-2000:]}")
    numbers = {n["name"]: n["value"] for n in json.loads((run / "results.json").read_text())["numbers"]}
    size = file.stat().st_size / 1e9
    print(
        f"{name}: {size:.1f} GB, peak of RssAnon {peak / GIB:.2f} GiB, {seconds:.0f} s in all,"
        f" {numbers.get('throughput', float('nan')):,.0f} examples/s",
        flush=True,
    )
    return row(f"peak of private memory, {name} on {size:.1f} GB", [peak / GIB], [LIMIT / GIB], "GiB")


def private_memory(pid: int) -> int:
    """RssAnon of a process, in bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def time_row(name: str, file: Path, rounds: int) -> dict[str, Any]:
    """An epoch on the disk with warm pages against one in memory, in one process."""
    from streaming import fit

    from pmodel import build

    def data(storage: str) -> Any:
        found = build("data=arrays", path=str(file), storage=storage, batch_size=512 if name == "vae" else 8192)
        found.setup("fit")
        return found

    on_disk, in_memory = data("disk"), data("memory")

    def epoch(source: Any) -> float:
        words = [*MODELS[name], "data=arrays", f"data.path={file}"]
        model = build(*(word for word in words if not word.startswith("data.batch_size")))
        return fit(model, source, 1)

    epoch(on_disk), epoch(in_memory)
    times = in_turn(partial(epoch, on_disk), partial(epoch, in_memory), rounds)
    count = on_disk.split_sizes["train"]
    print(
        f"{name}: {count / min(times[0]):,.0f} examples/s on disk, {count / min(times[1]):,.0f} in memory", flush=True
    )
    return row(f"an epoch of {name}, {count:,} images on disk, rival in memory", *times)


def jpeg_row(data_dir: Path, folder: Path, quick: bool) -> dict[str, Any] | None:
    """Batches of an epoch of JPEGs, as models get them, after the first pass."""
    images = data_dir / "cifar10-jpeg"
    if not images.is_dir() and (archive := images.with_suffix(".zip")).is_file():
        images = folder / "jpeg"
        zipfile.ZipFile(archive).extractall(images)
        images = next(path.parent for path in images.rglob("train"))
    if not images.is_dir():
        print(f"skipped: JPEGs, since there is no cifar10-jpeg in {data_dir}", flush=True)
        return None
    import torch
    from torchvision import datasets, transforms

    from pmodel import build

    torch.set_num_threads(1)
    place = {"path": str(images), "data_dir": str(folder / "data"), "storage": "disk", "num_validation": 1}
    data = build("data=image_folder", shape=[3, 32, 32], **place)
    begin = time.perf_counter()
    data.setup("fit")
    print(f"JPEGs: the first pass took {time.perf_counter() - begin:.1f} s", flush=True)
    loader = data.train_dataloader()

    def ours() -> float:
        begin, count = time.perf_counter(), 0
        for raw in loader:
            count += len(data.on_after_batch_transfer(raw).x)
        assert count == data.split_sizes["train"]
        return (time.perf_counter() - begin) / count

    theirs_data = datasets.ImageFolder(str(images / "train"), transforms.ToTensor())
    theirs_loader = torch.utils.data.DataLoader(theirs_data, batch_size=128, shuffle=True, num_workers=2)

    def theirs() -> float:
        begin, count = time.perf_counter(), 0
        for x, _ in theirs_loader:
            count += len(x)
        return (time.perf_counter() - begin) / count

    ours()
    times = in_turn(ours, theirs, 2 if quick else 5)
    microseconds = [[1e6 * seconds for seconds in each] for each in times]
    name = f"batches of {len(theirs_data):,} JPEGs on disk, each image; rival: ImageFolder, two workers"
    return row(name, *microseconds, "µs")


def kills_row(folder: Path, trials: int) -> dict[str, Any]:
    """Runs on shards that are killed and resumed, against runs that were never killed."""
    file = folder / "trials.json"
    command = [sys.executable, str(Path(__file__).with_name("kill_and_resume.py")), "--storage=disk", "--real=1"]
    command += [
        f"--trials={trials}",
        f"--json={file}",
        f"--folder={folder / 'kills'}",
        "--kinds",
        "vae",
        "kmeans",
        "gan",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    found = json.loads(file.read_text())
    same = [trial for trial in found if trial["differences"] == []]
    kills = sum(len(trial["kills"]) for trial in found)
    print(f"kills: {len(same)} of {len(found)} trials with {kills} kills ended bit-identical", flush=True)
    return row("trials with kills that ended bit-identical; rival: all trials", [len(same)], [len(found)], "runs")


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data", only="memory,time,jpeg,kills", folder="")
