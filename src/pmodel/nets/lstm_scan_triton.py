"""The scan of `pmodel.nets.lstm_scan` on a GPU: one kernel for all steps, where step by step each costs several.

The images of a batch, and the scans over them, depend on nothing of each other. So a program of the kernel takes one
scan of one image through all its steps: at each it computes a whole diagonal or row of cells, and waits for its own
threads alone. The weights stay in registers or the cache. Written in Triton, which PyTorch brings with it on Linux.
"""

import os

import triton
import triton.language as tl
from torch import Tensor

# Triton 3.9 says at its first kernel that this default will change.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


def forward(
    gates: Tensor,
    weight: Tensor,
    h: Tensor,
    c: Tensor,
    tanh_c: Tensor,
    table: Tensor,
    most_cells: int,
    memory_tap: int,
) -> None:
    """Turns the gates' inputs (R, M, B, 4h) into gates, and fills in h and c (R, S, B, h) and tanh_c (R, M, B, h).

    table: of each step its first cell, how many it has, where its record begins, and where its states go, (4, T) int32
    """
    R, M, B, _ = gates.shape
    size, cells = h.shape[3], _padded(most_cells)
    _forward[(B, R)](
        *(gates, weight, h, c, tanh_c, table, table.shape[1], M, B, h.shape[1], memory_tap),
        H=size,
        TAPS=weight.shape[1],
        N=cells,
        num_warps=4 if size < 64 else 8,
    )


def backward(
    gates: Tensor,
    weight: Tensor,
    c: Tensor,
    tanh_c: Tensor,
    dh: Tensor,
    dc: Tensor,
    gate_grads: Tensor,
    table: Tensor,
    most_cells: int,
    memory_tap: int,
) -> None:
    """Fills in the gradients of the gates' inputs (R, M, B, 4h), and adds to dh and dc (R, S, B, h) what comes back."""
    R, M, B, _ = gates.shape
    size, cells = dh.shape[3], _padded(most_cells)
    _backward[(B, R)](
        *(gates, weight, c, tanh_c, dh, dc, gate_grads, table, table.shape[1], M, B, dh.shape[1], memory_tap),
        H=size,
        TAPS=weight.shape[1],
        N=cells,
        num_warps=4 if size < 64 else 8,
    )


def _padded(most_cells: int) -> int:
    """Cells of a block: a power of two, and no less than a product takes."""
    return max(16, triton.next_power_of_2(most_cells))


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
        o = tl.load(place, mask=inside, other=0.0)
        i = tl.load(place + H, mask=inside, other=0.0)
        f = tl.load(place + 2 * H, mask=inside, other=0.0)
        g = tl.load(place + 3 * H, mask=inside, other=0.0)
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
        tl.store(place, o, mask=inside)
        tl.store(place + H, i, mask=inside)
        tl.store(place + 2 * H, f, mask=inside)
        tl.store(place + 3 * H, g, mask=inside)
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
        o = tl.load(gates + place, mask=inside, other=0.0)
        i = tl.load(gates + place + H, mask=inside, other=0.0)
        f = tl.load(gates + place + 2 * H, mask=inside, other=0.0)
        g = tl.load(gates + place + 3 * H, mask=inside, other=0.0)
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
        tl.store(gate_grads + place, do, mask=inside)
        tl.store(gate_grads + place + H, di, mask=inside)
        tl.store(gate_grads + place + 2 * H, df, mask=inside)
        tl.store(gate_grads + place + 3 * H, dg, mask=inside)
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
def _tanh(x):
    # 1 − 2 / (e^2x + 1) is right at both ends, where e^2x is infinite or 0.
    return 1 - 2 / (tl.exp(2 * x) + 1)
