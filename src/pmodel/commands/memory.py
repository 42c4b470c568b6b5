"""Which settings lower the memory that a run needs, said when there was not enough."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

# Settings to lower, those that help most first.
LOWER = (("data", "batch_size"), ("data", "eval_batch_size"), ("trainer", "precision"))
OF_THE_GPU = ("CUDA error: out of memory", "MPS backend out of memory")
OF_THE_HOST = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")


def out_of_memory_line(error: BaseException, settings: Mapping[str, Any], building: bool = False) -> str | None:
    """One line for an error that means that memory ran out, on a GPU or on the host; None for any other error.

    Args:
        settings: the resolved config of a run, with `data` and `trainer`.
        building: whether it ran out before training, where the model's size counts, and the largest setting is named.
    """
    said = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(text in said for text in OF_THE_GPU):
        where = "the GPU"
    elif isinstance(error, MemoryError) or any(text in said for text in OF_THE_HOST):
        where = "this machine"
    else:
        return None
    found = re.search(r"[Tt]ried to allocate ([\d.]+ [KMGT]?i?B|[\d]+ bytes)", said)
    asked = f" ({found[1]} more were asked for)" if found else ""
    sizes = dict(_sizes(settings.get("model", {}), "model"))
    if building and sizes:
        key = max(sizes, key=sizes.__getitem__)
        return f"out of memory on {where}{asked}: the model is too large; its largest setting is {key}={sizes[key]}"
    now = [f"{node}.{key} (now {settings[node][key]})" for node, key in LOWER if key in settings.get(node, {})]
    return f"out of memory on {where}{asked}: lower {', '.join([*now, 'the size of the model'])}"


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
