"""Training by sums against scikit-learn on MNIST: the same start, the same number of iterations, the same result.

Ours is the whole of a training: data module, Lightning's trainer, its epochs; without figures and files. It reads bytes
and gives float64's results. scikit-learn gets its data ready in memory: in float64, as `images / 255` makes them,
and, in a row of its own, in float32, which costs it digits. Beside the times stands the peak memory of training on a
million examples of 784 bytes, each model in a process of its own, against the size of the data plus 1 GiB.

    uv run benchmarks/streaming.py --data-dir ../shared/data
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from harness import main, row

GIB = 2**30
MILLION = {"kmeans": 3, "pca": 1, "pca_gmm": 3, "gmm": 2}  # models and their epochs


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.million:
        sys.exit(train_on_a_million(arguments.million))
    import numpy as np
    import torch
    from sklearn import cluster, decomposition
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    from pmodel import build

    warnings.simplefilter("ignore", ConvergenceWarning)
    data = build("data=mnist", batch_size=8192, num_validation=0, redraw=False, data_dir=arguments.data_dir)
    if arguments.quick:
        data.limit = 6000
    data.setup("fit")
    x = data.examples("train", 60_000).x.flatten(1).numpy()
    rounds, iterations, steps = (2, 5, 3) if arguments.quick else (5, 50, 10)
    rows = []
    given = {np.float64: x.astype(np.float64), np.float32: x}

    start = x[:10].astype(np.float64)

    def our_kmeans() -> tuple[float, float]:
        model = build("model=kmeans", "data=mnist", num_starts=1, tolerance=0.0)
        model.starts[0] = torch.from_numpy(start)
        model.origin.copy_(model.starts[0].mean(0))
        model.initialized.fill_(True)
        seconds = fit(model, data, iterations)
        distance = torch.cat(
            [model.terms(_Batch(part))["squared_distance"] for part in torch.from_numpy(x).split(4096)]
        )
        return seconds, distance.sum().item()

    def their_kmeans(dtype: type) -> tuple[float, float]:
        model = cluster.KMeans(10, init=start, n_init=1, max_iter=iterations, tol=0)
        return timed(lambda: model.fit(given[dtype])), model.inertia_

    for dtype in given:
        name = f"k-means, K = 10, {len(x):,} × 784, {iterations} iterations, rival in {dtype.__name__}"
        rows.append(compare(name, our_kmeans, partial(their_kmeans, dtype), rounds))

    def our_pca() -> tuple[float, float]:
        model = build("model=pca", "data=mnist", num_components=50)
        seconds = fit(model, data, 1)
        return seconds, model.axes.variances.sum().item()

    def their_pca(dtype: type) -> tuple[float, float]:
        model = decomposition.PCA(50, svd_solver="covariance_eigh")
        return timed(lambda: model.fit(given[dtype])), float(model.explained_variance_.sum())

    for dtype in given:
        name = f"PCA, 50 of 784, {len(x):,} examples, rival in {dtype.__name__}"
        rows.append(compare(name, our_pca, partial(their_pca, dtype), rounds))

    z = decomposition.PCA(50).fit_transform(x).astype(np.float64)
    points = array_data(torch.from_numpy(z))
    first = build("model=gmm", data_shape=[50], num_components=10)
    first.initialize(torch.from_numpy(z[:5000]), torch.Generator().manual_seed(0))

    def our_gmm() -> tuple[float, float]:
        model = build("model=gmm", data_shape=[50], num_components=10, tolerance=0.0)
        model.load_state_dict(first.state_dict())
        model.initialized.fill_(True)
        seconds = fit(model, points, steps)
        return seconds, model.log_prob(torch.from_numpy(z)).mean().item()

    def their_gmm() -> tuple[float, float]:
        precisions = torch.linalg.inv(first.gaussians.covariances()).numpy()
        model = GaussianMixture(
            10,
            tol=0,
            max_iter=steps,
            init_params="random_from_data",
            weights_init=first.weights.numpy(),
            means_init=first.gaussians.means.numpy(),
            precisions_init=precisions,
        )
        return timed(lambda: model.fit(z)), float(model.score(z))

    rows.append(compare(f"GMM, K = 10, full, {len(z):,} × 50, {steps} iterations", our_gmm, their_gmm, rounds))
    return rows + ([] if arguments.quick else memory_rows())


def compare(name: str, ours: Any, theirs: Any, rounds: int) -> dict[str, Any]:
    """A row of the times; both results, which must agree to 1e-4, go with it."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    found = row(name, [a[0] for a, _ in pairs], [b[0] for _, b in pairs])
    a, b = pairs[0][0][1], pairs[0][1][1]
    difference = abs(a - b) / abs(b)
    print(f"{name}: results {a:.6g} and {b:.6g}, {difference:.1e} apart", flush=True)
    if difference > 1e-4:
        raise SystemExit(f"{name}: the results differ by {difference:.1e}, expected at most 1e-4")
    return {**found, "difference": difference}


def timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class _Batch:
    def __init__(self, x: Any):
        self.x = x


def array_data(x: Any) -> Any:
    """A data module of points (N, D) in memory, kept as they are."""
    import torch

    from pmodel.data.base import InMemoryDataModule
    from pmodel.data.images import ImageDataModule

    of_levels = x.dtype == torch.uint8

    class Array(ImageDataModule if of_levels else InMemoryDataModule):
        source, source_levels = "array", 256 if of_levels else None

        def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
            part = x if split == "train" else x[:0]
            return part, torch.zeros(len(part), dtype=torch.int64)

    settings = {"eval_batch_size": 500, "limit": None, "split_seed": 0, "seed": 0, "num_classes": None, "redraw": False}
    return Array(shape=list(x.shape[1:]), num_levels=Array.source_levels, batch_size=8192, **settings)


def fit(model: Any, data: Any, epochs: int) -> float:
    """Seconds of `Trainer.fit` for so many epochs."""
    import lightning

    from pmodel.callbacks.no_profiler import NoProfiler
    from pmodel.commands.quiet import quieten_libraries

    quieten_libraries()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        profiler=NoProfiler(),
    )
    return timed(lambda: trainer.fit(model, datamodule=data))


def memory_rows() -> list[dict[str, Any]]:
    """Peak memory on a million examples against the data's size plus 1 GiB."""
    rows = []
    for name in MILLION:
        command = [sys.executable, __file__, "--million", name]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        size = result["data"] / GIB
        rows.append(row(f"peak memory, {name}, 1,000,000 × 784 bytes", [result["peak"] / GIB], [size + 1], "GiB"))
        print(f"{name} on a million: {result['peak'] / GIB:.2f} GiB, {result['seconds']:.0f} s", flush=True)
    return rows


def train_on_a_million(name: str) -> str | None:
    import torch

    from pmodel import build

    models = {
        "kmeans": lambda: build("model=kmeans", data_shape=[784]),
        "pca": lambda: build("model=pca", data_shape=[784], num_components=50),
        "pca_gmm": lambda: build("model=pca_gmm", data_shape=[784], num_dims=50),
        "gmm": lambda: build("model=gmm", data_shape=[784], covariance_type="diagonal", reg_covar=1e-3),
    }
    x = torch.empty(1_000_000, 784, dtype=torch.uint8)
    torch.manual_seed(0)
    for part in x.split(10_000):
        part.random_(0, 256)
    seconds = fit(models[name](), array_data(x), MILLION[name])
    print(json.dumps({"peak": peak_memory(), "data": x.nbytes, "seconds": seconds}))
    return None


def peak_memory() -> int:
    """Bytes that this process had at most in memory; not, as rusage has on Linux, those of the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data", million="")
