"""An LSTM whose time runs over a lattice: the sequential part of the Diagonal BiLSTM and of the Row LSTM."""

from importlib.util import find_spec
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# The gates of a cell in memory: output, input, forget, content. The first three are sigmoids; the last three get their
# gradients through the cell's memory.
NUM_GATES = 4
# Hidden sizes, and cells of a step, for which there is a kernel that does all steps.
FUSED_SIZES, FUSED_CELLS = (16, 32, 64), 128


class Lattice:
    """Cells in the order in which a scan computes them, `counts[t]` of them at step t, all at once.

    Each cell has `taps` neighbours in the step before it. That step is kept as a record of counts[t] + taps − 1 states
    in which the neighbours of the n-th cell are numbers n, n + 1, …; those of the record that stand outside of the
    image hold the initial state. The memory c comes from neighbour number `memory_tap`.

    Args:
        places: where in the record that step t reads the cells of step t − 1 begin.
    """

    def __init__(self, counts: list[int], taps: int, memory_tap: int, places: list[int], device: torch.device):
        self.counts, self.taps, self.memory_tap = counts, taps, memory_tap
        # Where the record that each step reads begins, and where the cells of the last step are.
        *self.records, last = accumulate((count + taps - 1 for count in counts), initial=0)
        # Where the states of the cells of each step go.
        self.written = [
            record + place for record, place in zip([*self.records[1:], last], [*places[1:], 0], strict=True)
        ]
        self.num_states = last + counts[-1]
        starts = list(accumulate(counts[:-1], initial=0))
        # Of each step its first cell, how many it has, where its record begins, and where its states go, (4, T).
        rows = [starts, counts, self.records, self.written]
        self.table = torch.tensor(rows, dtype=torch.int32, device=device)
        step = torch.arange(len(counts), device=device).repeat_interleave(self.table[1])
        of_cell = self.table[:, step].long()
        number = torch.arange(sum(counts), device=device) - of_cell[0]
        # Where the neighbours of each cell are, (taps, cells), where its own state is, and where the initial one.
        self.neighbours = of_cell[2] + number + torch.arange(taps, device=device)[:, None]
        self.states = of_cell[3] + number
        outside = torch.ones(self.num_states, dtype=torch.bool, device=device)
        outside[self.states] = False
        self.initial = outside.nonzero()[:, 0]


def gate_bias(hidden_channels: int) -> Tensor:
    """The gates' biases to start from, (4h,): 0, but 1 for the forget gate, so that memory lasts (Jozefowicz et al., An
    Empirical Exploration of Recurrent Network Architectures, 2015)."""
    bias = torch.zeros(NUM_GATES, hidden_channels)
    bias[2] = 1
    return bias.flatten()


def activate(gates: Tensor) -> tuple[Tensor, ...]:
    """o, i, f, g, each (…, h), of their inputs (…, 4h), which they take the place of."""
    size = gates.shape[-1] // NUM_GATES
    gates[..., : 3 * size].sigmoid_()
    gates[..., 3 * size :].tanh_()
    return gates.split(size, dim=-1)


@torch.compiler.disable  # it would be unrolled: minutes
def scan(gates: Tensor, weight: Tensor, h0: Tensor, c0: Tensor, lattice: Lattice, order: Tensor) -> Tensor:
    """The states h of all cells, (R, cells, B, h), of R independent scans over images of the same size.

    With the gates' inputs a (R, cells, B, 4h), neighbours' states h⁽ᵏ⁾ and memory c⁻:

        (o, i, f, g) = (σ, σ, σ, tanh)(a + Σ_k h⁽ᵏ⁾ W_k);  c = f c⁻ + i g;  h = o tanh c

    gates: their memory is used for the result; nothing else may need it.
    weight: W, (R, taps, h, 4h); h0, c0: the initial state, (R, h).
    order: (R, cells), which cell of each scan stands where in the result.
    """
    # Narrow numbers would add up their errors over the steps.
    with torch.autocast(gates.device.type, enabled=False):
        written_for = weight.shape[2] in FUSED_SIZES and max(lattice.counts) <= FUSED_CELLS
        on_gpu = weight.device.type == "cuda" and weight.dtype == torch.float32
        fused = written_for and on_gpu and find_spec("triton") is not None
        return _Scan.apply(gates.to(weight.dtype), weight, h0, c0, lattice, lattice.states[order], fused)


class _Scan(Function):
    """Backward by hand: only what is sequential is done step by step.

    fused: whether the steps are those of a kernel of its own, not of PyTorch
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weight: Tensor, h0: Tensor, c0: Tensor, lattice: Lattice, states: Tensor, fused: bool
    ) -> Tensor:
        activations, weight = gates.contiguous(), weight.contiguous()
        R, M, B, _ = activations.shape
        H = h0.shape[1]
        h, c = (activations.new_empty(R, lattice.num_states, B, H) for _ in range(2))
        h[:, lattice.initial], c[:, lattice.initial] = h0[:, None, None], c0[:, None, None]
        tanh_c = activations.new_empty(R, M, B, H)
        steps = _forward
        if fused:
            from pmodel.nets.lstm_scan_triton import forward as steps  # needs Triton
        steps(activations, weight, h, c, tanh_c, lattice)
        ctx.lattice, ctx.fused = lattice, fused
        ctx.save_for_backward(activations, tanh_c, h, c, weight, states)
        return torch.stack([of_one[index] for of_one, index in zip(h, states, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        lattice: Lattice = ctx.lattice
        activations, tanh_c, h, c, weight, states = ctx.saved_tensors
        dh, dc = torch.zeros_like(h), torch.zeros_like(c)
        for of_one, index, part in zip(dh, states, grad, strict=True):
            of_one[index] = part
        gate_grads = torch.empty_like(activations)
        steps = _backward
        if ctx.fused:
            from pmodel.nets.lstm_scan_triton import backward as steps  # needs Triton
        steps(activations, weight, c, tanh_c, dh, dc, gate_grads, lattice)
        flat = gate_grads.flatten(1, 2)
        with torch.autocast(flat.device.type, enabled=False):
            weight_grad = torch.stack([h[:, near].flatten(1, 2).mT @ flat for near in lattice.neighbours], 1)
        initial = [x[:, lattice.initial].sum((1, 2)) for x in (dh, dc)]
        return gate_grads, weight_grad, *initial, None, None, None


def _forward(activations: Tensor, weight: Tensor, h: Tensor, c: Tensor, tanh_c: Tensor, lattice: Lattice) -> None:
    """Turns the gates' inputs (R, M, B, 4h) into gates, and fills in h and c (R, S, B, h) and tanh_c (R, M, B, h)."""
    R, M, B, H = tanh_c.shape
    counts, taps = lattice.counts, weight.unbind(1)
    # All views at once: one by one they would take as long as the steps.
    products = activations.view(R, M * B, NUM_GATES * H).split([n * B for n in counts], 1)
    parts = zip(
        *(x.split(counts, 1) for x in (activations[..., : 3 * H], *activations.split(H, 3), tanh_c)), strict=True
    )
    states = h.view(R, -1, H)
    for t, (product, (sigmoids, o, i, f, g, u)) in enumerate(zip(products, parts, strict=True)):
        n, read, written = counts[t], lattice.records[t], lattice.written[t]
        for k, tap in enumerate(taps):
            product.baddbmm_(states.narrow(1, (read + k) * B, n * B), tap)
        sigmoids.sigmoid_()
        g.tanh_()
        memory = c.narrow(1, read + lattice.memory_tap, n)
        new = torch.mul(f, memory, out=c.narrow(1, written, n)).addcmul_(i, g)
        torch.mul(o, torch.tanh(new, out=u), out=h.narrow(1, written, n))


def _backward(
    gates: Tensor,
    weight: Tensor,
    c: Tensor,
    tanh_c: Tensor,
    dh: Tensor,
    dc: Tensor,
    gate_grads: Tensor,
    lattice: Lattice,
) -> None:
    """Fills in the gradients of the gates' inputs, and adds to dh and dc what comes back."""
    R, M, B, H = tanh_c.shape
    counts, taps = lattice.counts, [tap.mT for tap in weight.unbind(1)]
    o, i, f, g = gates.split(H, 3)
    # What a gate's gradient is per unit of dh (of o) or dc (of the others): σ' = σ (1 − σ), tanh' = 1 − tanh².
    torch.cat([tanh_c, g, c[:, lattice.neighbours[lattice.memory_tap]], i], 3, out=gate_grads)
    narrow, content = gate_grads[..., : 3 * H], gate_grads[..., 3 * H :]
    torch.ops.aten.sigmoid_backward.grad_input(narrow, gates[..., : 3 * H], grad_input=narrow)
    torch.ops.aten.tanh_backward.grad_input(content, g, grad_input=content)
    # ∂h/∂c
    through = torch.ops.aten.tanh_backward(o, tanh_c)
    products = gate_grads.view(R, M * B, NUM_GATES * H).split([n * B for n in counts], 1)
    by_gate = gate_grads.unflatten(3, (NUM_GATES, H))
    wholes = (by_gate[..., 0, :], by_gate[..., 1:, :], through, f)
    parts = list(zip(products, *(x.split(counts, 1) for x in wholes), strict=True))
    states = dh.view(R, -1, H)
    for t in reversed(range(len(counts))):
        n, read, written = counts[t], lattice.records[t], lattice.written[t]
        product, of_output, of_others, slope, forget = parts[t]
        dh_t = dh.narrow(1, written, n)
        dc_t = dc.narrow(1, written, n).addcmul_(dh_t, slope)
        of_output.mul_(dh_t)
        of_others.mul_(dc_t.unsqueeze(3))
        dc.narrow(1, read + lattice.memory_tap, n).addcmul_(dc_t, forget)
        for k, tap in enumerate(taps):
            states.narrow(1, (read + k) * B, n * B).baddbmm_(product, tap)
