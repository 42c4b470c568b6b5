"""Which settings lower the memory that a run needs, said when there was not enough."""

import re
from collections.abc import Iterator, Mapping
from typing import Any


def out_of_memory_line(error: BaseException, settings: Mapping[str, Any], building: bool = False) -> str | None:
    """One line for an error that means that memory ran out, on a GPU or on the host; None for any other error.

    Args:
        settings: the resolved config of a run, with `data` and `trainer`.
        building: whether it ran out before training, where the model's size counts, and the largest setting is named.
    """
    where = _place(error)
    if where is None:
        return None
    data, trainer = settings.get("data", {}), settings.get("trainer", {})
    found = re.search(r"[Tt]ried to allocate ([\d.]+ [KMGT]?i?B|[\d]+ bytes)", str(error))
    asked = f" ({found[1]} more were asked for)" if found else ""
    sizes = dict(_sizes(settings.get("model", {}), "model"))
    if building and sizes:
        key = max(sizes, key=sizes.__getitem__)
        return f"out of memory on {where}{asked}: the model is too large; its largest setting is {key}={sizes[key]}"
    return f"out of memory on {where}{asked}: lower {', '.join(_lower(data, trainer))}"


def _sizes(node: Any, key: str) -> Iterator[tuple[str, int]]:
    """The whole numbers in nested dicts and lists, by their dotted names."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _sizes(child, f"{key}.{name}")
    elif isinstance(node, list):
        for child in node:
            yield from _sizes(child, key)
    elif type(node) is int:
        yield key, node


def _place(error: BaseException) -> str | None:
    """What ran out of memory; None if nothing did."""
    kind, said = type(error).__name__, str(error)
    if kind == "OutOfMemoryError" or "CUDA error: out of memory" in said or "MPS backend out of memory" in said:
        return "the GPU"
    of_the_host = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
    if isinstance(error, MemoryError) or any(text in said for text in of_the_host):
        return "this machine"
    return None


def _lower(data: Mapping[str, Any], trainer: Mapping[str, Any]) -> list[str]:
    """Settings to change, those that help most first, with what they are now."""
    lines = []
    if "batch_size" in data:
        accumulate = trainer.get("accumulate_grad_batches", 1)
        lines.append(
            f"data.batch_size (now {data['batch_size']}), with a larger trainer.accumulate_grad_batches"
            f" (now {accumulate}) for the same steps"
        )
    if "eval_batch_size" in data:
        lines.append(f"data.eval_batch_size (now {data['eval_batch_size']}), if it was in validation")
    precision = str(trainer.get("precision", "32-true"))
    if precision in ("32-true", "32", "64-true", "64"):
        other = "32-true" if precision.startswith("64") else "bf16-mixed"
        lines.append(f"trainer.precision (now {precision}; {other} needs about half)")
    lines.append("the size of the model")
    return lines
