"""Where the time of a training step goes: its two largest terms, and the least that the machine could do them in.

Networks, batches, precision and optimizers are those of the experiments, on random images; a step is forward,
backward and the optimizer's. A term is a kind of operation. Its floor is the larger of its floating-point operations
over this machine's rate in a large matrix product, and of the bytes that its operations read and write, one by one,
over the rate of a large copy; both are measured here, with as many threads. (Operations joined into one, or tensors
that stay in a cache, can be faster.) What passes between the operations (Python, dispatch, launches) is a term too,
with no floor.

    uv run benchmarks/breakdown.py [--device cuda]
"""

import argparse
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import hardware, write_rows

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # builds a model of its settings

TRAININGS = ("pixelcnn_mnist", "pixelcnn_gated_mnist", "pixelrnn_mnist", "dcgan_mnist")
BETWEEN = "between operations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 9
    rates = {name: measured_rates(name, arguments.device) for name in ("float32", "bfloat16")}
    rows = []
    for name in TRAININGS:
        rows += breakdown(name, arguments.device, rounds, rates)
        write_rows(arguments.json, rows)
        for row in rows[-2:]:
            floor = "" if row["floor"] is None else f", floor {1e3 * row['floor']:.1f} ms"
            print(f"{row['name']}: {row['term']} {1e3 * row['seconds']:.1f} of {1e3 * row['step']:.1f} ms{floor}")


def measured_rates(dtype: str, device: str) -> tuple[float, float]:
    """FLOP/s of a large matrix product, and bytes/s of a large copy."""
    import torch

    n = 8192 if device == "cuda" else 1024
    # Convolutions on a GPU round to TensorFloat-32 unless told otherwise: the least time is with products that do too.
    torch.backends.cuda.matmul.allow_tf32 = True
    a = torch.ones(n, n, dtype=getattr(torch, dtype), device=device)
    x = torch.ones(2**26, device=device)
    y = torch.empty_like(x)
    product = fastest(lambda: a @ a, device)
    torch.backends.cuda.matmul.allow_tf32 = False
    copy = fastest(lambda: y.copy_(x), device)
    return 2 * n**3 / product, 2 * x.numel() * x.element_size() / copy


def fastest(work: Callable[[], Any], device: str) -> float:
    return min(timed(work, device) for _ in range(6))


def timed(work: Callable[[], Any], device: str) -> float:
    import torch

    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def breakdown(name: str, device: str, rounds: int, rates: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """The two largest terms of an experiment's training step."""
    import torch

    step, batch, dtype = training_step(name, device)
    for _ in range(3):
        step()
    seconds = statistics.median(timed(step, device) for _ in range(rounds))
    with Counted() as counted:
        step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(rounds):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
    times: Counter[str] = Counter()
    for event in profile.key_averages():
        term = term_of(event.key)
        if device == "cpu":
            spent = event.self_cpu_time_total
        elif event.key.startswith("aten::") or term == "the scans":
            spent = event.self_device_time_total
        else:
            continue  # a kernel or a copy, of which an operation of PyTorch has the time already
        times[term] += spent / 1e6 / rounds
    # A profiler slows down what is between the operations, and what is not an operation of PyTorch belongs there.
    times[BETWEEN] = max(0.0, seconds - sum(spent for term, spent in times.items() if term != BETWEEN))
    rows = []
    for term, spent in times.most_common(2):
        flops, moved = counted.flops[term], counted.bytes[term]
        # What is not PyTorch's own (a Triton kernel) is not counted.
        floor = max(flops / rates[dtype][0], moved / rates[dtype][1]) if flops or moved else None
        rows.append(
            {
                "name": f"{name}, batch {batch}, {dtype}",
                "term": term,
                "step": seconds,
                "seconds": spent,
                "flops": flops,
                "bytes": moved,
                "floor": floor,
                "rates": rates[dtype],
                "hardware": hardware(device),
                "versions": {name: version(name) for name in ("pmodel", "torch")},
            }
        )
    return rows


def term_of(operation: str) -> str:
    """Which kind an operation is, of a profiler's or a dispatcher's name."""
    name = operation.removeprefix("aten::").lower()
    if name.startswith(("_foreach", "_fused")) or "adam" in name or "rmsprop" in name:
        return "the optimizer"
    if "conv" in name or "cudnn" in name or "mkldnn" in name:
        return "convolutions"
    if name.rstrip("_").endswith("mm") or name in ("matmul", "linear") or "gemm" in name:
        return "matrix products"
    if name.startswith("lstm_scan") or name in ("_forward", "_backward"):
        return "the scans"
    if "batch_norm" in name:
        return "normalization"
    if not operation.startswith("aten::"):
        return BETWEEN
    if name.rstrip("_") in MOVES:
        return "copies and gathers"
    return "elementwise operations"


MOVES = (
    "copy",
    "_to_copy",
    "clone",
    "index",
    "cat",
    "_index_put_impl",
    "index_put",
    "constant_pad_nd",
    "fill",
    "zero",
    "stack",
)
# Give a tensor without reading or writing one.
UNMOVED = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view")


def training_step(name: str, device: str) -> tuple[Callable[[], None], int, str]:
    """A step of an experiment's training, its batch, and the type of its products."""
    import torch
    from support import build, config

    from pmodel.data.batch import Batch
    from pmodel.instantiate import instantiate

    torch.manual_seed(0)
    settings = config(f"experiment={name}")
    batch = settings["data"]["batch_size"]
    narrow = "bf16" in str(settings["trainer"].get("precision", ""))
    dtype = torch.bfloat16 if narrow else torch.float32
    model = build(f"experiment={name}")[0].to(device)
    x = (torch.rand(batch, *model.data_shape, device=device) < 0.2).float()
    data = Batch(x, torch.full((batch,), -1, device=device))

    def optimizer(config: dict[str, Any], network: torch.nn.Module) -> torch.optim.Optimizer:
        return instantiate(config, (p for p in network.parameters() if p.requires_grad))

    def descend(loss: torch.Tensor, by: torch.optim.Optimizer) -> None:
        by.zero_grad()
        loss.backward()
        by.step()

    if not hasattr(model, "generator"):
        own = optimizer(settings["model"]["optimizer"], model)

        def step() -> None:
            with torch.autocast(device, dtype, enabled=narrow):
                loss = model.loss(data)["loss"].mean()
            descend(loss, own)

        return step, batch, str(dtype).removeprefix("torch.")
    of_generator, of_discriminator = (
        optimizer(settings["model"]["optimizer"][player], getattr(model, player))
        for player in ("generator", "discriminator")
    )

    def game() -> None:
        with torch.autocast(device, dtype, enabled=narrow):
            codes = model.draw_codes(batch)
            with torch.no_grad():
                fake = model.generated(model.generator, codes)
            loss = model.objective.discriminator(model.score(x, codes), model.score(fake, codes)).mean()
        descend(loss, of_discriminator)
        model.discriminator.requires_grad_(False)
        with torch.autocast(device, dtype, enabled=narrow):
            loss = model.objective.generator(model.score(model.generated(model.generator, codes), codes)).mean()
        descend(loss, of_generator)
        model.discriminator.requires_grad_(True)

    return game, batch, str(dtype).removeprefix("torch.")


def Counted() -> Any:  # noqa: N802  (a class, made once torch is there)
    """Counts the floating-point operations and the bytes of each term of what is done within."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry

    class Counting(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.flops: defaultdict[str, int] = defaultdict(int)
            self.bytes: defaultdict[str, int] = defaultdict(int)

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            packet = func.overloadpacket
            if not func.is_view and packet.__name__ not in UNMOVED:
                term = term_of(f"aten::{packet.__name__}")
                functional = getattr(torch.ops.aten, packet.__name__.removesuffix("_"), packet)
                count = flop_registry.get(packet) or flop_registry.get(functional)
                if count is not None:
                    self.flops[term] += count(*args, **(kwargs or {}), out_val=result)
                given = {id(t): t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)}
                self.bytes[term] += sum(t.numel() * t.element_size() for t in given.values())
            return result

    return Counting()


if __name__ == "__main__":
    main()
