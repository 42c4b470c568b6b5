"""The kernels for a GPU against the scan step by step: on the CPU by Triton's interpreter, and on a GPU."""

import os
import subprocess
import sys

import pytest
import torch

pytest.importorskip("triton")

CHECK = """
import sys, torch
from pmodel.nets import diagonal_lstm, lstm_scan, row_lstm

kind, device, size, hidden, batch = sys.argv[1], sys.argv[2], (int(sys.argv[3]), int(sys.argv[4])), 16, 3
torch.manual_seed(0)
if kind == "diagonal":
    lattice, _, order = diagonal_lstm.lattice_of(*size, torch.device(device))
else:
    lattice, order = row_lstm.lattice_of(*size, torch.device(device))
scans = len(order)
shapes = (scans, size[0] * size[1], batch, 4 * hidden), (scans, lattice.taps, hidden, 4 * hidden), (scans, hidden)
gates, weight, h0, c0 = (torch.randn(shape, device=device) * 0.7 for shape in (*shapes, shapes[-1]))
# With weights of 0.7 the scan over 28×28 is chaotic: gradients in float32 are up to 0.08 off those in float64.
weight = weight * 0.15
seed = torch.randn(scans, size[0] * size[1], batch, hidden, device=device)
found = []
for fused in (False, True):
    inputs = [x.clone().requires_grad_() for x in (gates, weight, h0, c0)]
    y = lstm_scan._Scan.apply(inputs[0] * 1, *inputs[1:], lattice, lattice.states[order], fused)
    found.append([y, *torch.autograd.grad((y * seed).sum(), inputs)])
for ours, plain in zip(*found):
    torch.testing.assert_close(ours, plain, atol=2e-4, rtol=2e-4)
"""


def check(kind: str, device: str, height: int, width: int, **environment: str) -> None:
    command = [sys.executable, "-c", CHECK, kind, device, str(height), str(width)]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if "triton/runtime/interpreter.py" in result.stderr and "only 0-dimensional arrays can be" in result.stderr:
        pytest.skip("Triton's interpreter, of 3.6 for example, stumbles over NumPy 2.5, of whatever kernel")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("kind", "height", "width"), [("diagonal", 5, 4), ("row", 3, 6)])
def test_kernels_give_the_states_and_gradients_of_the_scan_step_by_step(kind, height, width):
    check(kind, "cpu", height, width, TRITON_INTERPRET="1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["diagonal", "row"])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (5, 33), (1, 4)])
def test_kernels_give_the_same_on_a_gpu(kind, height, width):
    check(kind, "cuda", height, width)
