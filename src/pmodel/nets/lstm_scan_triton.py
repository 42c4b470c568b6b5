"""The scan of `pmodel.nets.lstm_scan` on a GPU: one kernel for all steps, where step by step each costs several.

The images of a batch, and the scans over them, depend on nothing of each other. So a program of the kernel takes one
scan of one image through all its steps: at each it computes a whole diagonal or row of cells, and waits for its own
threads alone. The weights stay in registers or the cache. Written in Triton, which PyTorch brings with it on Linux.
"""

import os
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from pmodel.nets.lstm_scan import Lattice

# Triton 3.9 says at its first kernel that this default will change.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


def forward(gates: Tensor, weight: Tensor, h: Tensor, c: Tensor, tanh_c: Tensor, lattice: Lattice) -> None:
    """Turns the gates' inputs (R, M, B, 4h) into gates, and fills in h and c (R, S, B, h) and tanh_c (R, M, B, h)."""
    _launch(_forward, (gates, weight, h, c, tanh_c), h, lattice)


def backward(
    gates: Tensor,
    weight: Tensor,
    c: Tensor,
    tanh_c: Tensor,
    dh: Tensor,
    dc: Tensor,
    gate_grads: Tensor,
    lattice: Lattice,
) -> None:
    """Fills in the gradients of the gates' inputs (R, M, B, 4h), and adds to dh and dc (R, S, B, h) what comes back."""
    _launch(_backward, (gates, weight, c, tanh_c, dh, dc, gate_grads), dh, lattice)


def _launch(kernel: Any, tensors: tuple[Tensor, ...], states: Tensor, lattice: Lattice) -> None:
    """A program for each image and scan. tensors: the gates and the weight first; states: (R, S, B, h)."""
    R, M, B, _ = tensors[0].shape
    _, S, _, H = states.shape
    # Cells of a block: a power of two, and no less than a product takes.
    N = max(16, triton.next_power_of_2(max(lattice.counts)))
    sizes = {"H": H, "TAPS": tensors[1].shape[1], "N": N, "num_warps": 4 if H < 64 else 8}
    sizes["num_stages"] = 1  # a step reads what the one before it wrote: nothing may be loaded ahead
    kernel[(B, R)](*tensors, lattice.table, len(lattice.counts), M, B, S, lattice.memory_tap, **sizes)


@triton.jit
def _forward(
    gates, weight, h, c, tanh_c, table, T, M, B, S, memory_tap, H: tl.constexpr, TAPS: tl.constexpr, N: tl.constexpr
):
    b, r = tl.program_id(0), tl.program_id(1)
    row, column = tl.arange(0, N), tl.arange(0, H)
    square = tl.arange(0, H)[:, None] * (4 * H) + column[None, :]
    for t in range(T):
        start, count = tl.load(table + t), tl.load(table + T + t)
        read, written = tl.load(table + 2 * T + t), tl.load(table + 3 * T + t)
        inside = (row < count)[:, None]
        cell = ((r * M + start + row).to(tl.int64) * B + b)[:, None]
        slot = (r * S + row).to(tl.int64)
        place = gates + cell * (4 * H) + column[None, :]
        o, i, f, g = _load(place, inside, H)
        for tap in tl.static_range(TAPS):
            near = ((slot + read + tap) * B + b)[:, None] * H + column[None, :]
            state = tl.load(h + near, mask=inside, other=0.0)
            w = weight + (r * TAPS + tap) * (4 * H * H) + square
            o += tl.dot(state, tl.load(w), input_precision="ieee")
            i += tl.dot(state, tl.load(w + H), input_precision="ieee")
            f += tl.dot(state, tl.load(w + 2 * H), input_precision="ieee")
            g += tl.dot(state, tl.load(w + 3 * H), input_precision="ieee")
        o, i, f = tl.sigmoid(o), tl.sigmoid(i), tl.sigmoid(f)
        g = _tanh(g)
        before = ((slot + read + memory_tap) * B + b)[:, None] * H + column[None, :]
        memory = f * tl.load(c + before, mask=inside, other=0.0) + i * g
        u = _tanh(memory)
        here = ((slot + written) * B + b)[:, None] * H + column[None, :]
        tl.store(h + here, o * u, mask=inside)
        tl.store(c + here, memory, mask=inside)
        tl.store(tanh_c + cell * H + column[None, :], u, mask=inside)
        _store(place, o, i, f, g, inside, H)
        # The next step reads what other threads wrote.
        tl.debug_barrier()


@triton.jit
def _backward(
    gates,
    weight,
    c,
    tanh_c,
    dh,
    dc,
    gate_grads,
    table,
    T,
    M,
    B,
    S,
    memory_tap,
    H: tl.constexpr,
    TAPS: tl.constexpr,
    N: tl.constexpr,
):
    b, r = tl.program_id(0), tl.program_id(1)
    row, column = tl.arange(0, N), tl.arange(0, H)
    # Of the transposed weight: from a gate's H gradients to those of the H states.
    square = tl.arange(0, H)[:, None] + column[None, :] * (4 * H)
    for back in range(T):
        t = T - 1 - back
        start, count = tl.load(table + t), tl.load(table + T + t)
        read, written = tl.load(table + 2 * T + t), tl.load(table + 3 * T + t)
        inside = (row < count)[:, None]
        cell = ((r * M + start + row).to(tl.int64) * B + b)[:, None]
        slot = (r * S + row).to(tl.int64)
        place = cell * (4 * H) + column[None, :]
        o, i, f, g = _load(gates + place, inside, H)
        u = tl.load(tanh_c + cell * H + column[None, :], mask=inside, other=0.0)
        here = ((slot + written) * B + b)[:, None] * H + column[None, :]
        before = ((slot + read + memory_tap) * B + b)[:, None] * H + column[None, :]
        dh_here = tl.load(dh + here, mask=inside, other=0.0)
        dc_here = tl.load(dc + here, mask=inside, other=0.0) + dh_here * o * (1 - u * u)
        memory = tl.load(c + before, mask=inside, other=0.0)
        back_c = tl.load(dc + before, mask=inside, other=0.0) + dc_here * f
        tl.store(dc + before, back_c, mask=inside)
        do = dh_here * u * o * (1 - o)
        di = dc_here * g * i * (1 - i)
        df = dc_here * memory * f * (1 - f)
        dg = dc_here * i * (1 - g * g)
        _store(gate_grads + place, do, di, df, dg, inside, H)
        for tap in tl.static_range(TAPS):
            w = weight + (r * TAPS + tap) * (4 * H * H) + square
            change = tl.dot(do, tl.load(w), input_precision="ieee")
            change += tl.dot(di, tl.load(w + H), input_precision="ieee")
            change += tl.dot(df, tl.load(w + 2 * H), input_precision="ieee")
            change += tl.dot(dg, tl.load(w + 3 * H), input_precision="ieee")
            near = ((slot + read + tap) * B + b)[:, None] * H + column[None, :]
            so_far = tl.load(dh + near, mask=inside, other=0.0)
            tl.store(dh + near, so_far + change, mask=inside)
            # Neighbours have neighbours in common: the next tap, and the next step, add to the same places.
            tl.debug_barrier()


@triton.jit
def _load(place, inside, H: tl.constexpr):
    """The four gates of the cells inside."""
    o = tl.load(place, mask=inside, other=0.0)
    i = tl.load(place + H, mask=inside, other=0.0)
    f = tl.load(place + 2 * H, mask=inside, other=0.0)
    g = tl.load(place + 3 * H, mask=inside, other=0.0)
    return o, i, f, g


@triton.jit
def _store(place, o, i, f, g, inside, H: tl.constexpr):
    tl.store(place, o, mask=inside)
    tl.store(place + H, i, mask=inside)
    tl.store(place + 2 * H, f, mask=inside)
    tl.store(place + 3 * H, g, mask=inside)


@triton.jit
def _tanh(x):
    # 1 − 2 / (e^2x + 1) is right at both ends, where e^2x is infinite or 0.
    return 1 - 2 / (tl.exp(2 * x) + 1)
