"""What is said when memory runs out: of the real errors of PyTorch and Python."""

import pytest
import torch

from pmodel.commands.memory import out_of_memory_line

SETTINGS = {
    "data": {"batch_size": 128, "eval_batch_size": 500},
    "trainer": {"precision": "32-true", "accumulate_grad_batches": 2},
}


def test_the_error_of_a_tensor_that_no_memory_holds_names_the_settings_and_their_values():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    line = out_of_memory_line(caught.value, SETTINGS)
    assert line.startswith("out of memory on this machine (1152921504606846976 bytes more were asked for): lower ")
    for part in ("data.batch_size (now 128)", "accumulate_grad_batches (now 2)", "eval_batch_size (now 500)"):
        assert part in line
    assert "trainer.precision (now 32-true; bf16-mixed needs about half)" in line
    assert "\n" not in line


def test_the_error_of_a_gpu_is_told_from_that_of_the_machine():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of …")
    line = out_of_memory_line(error, SETTINGS)
    assert line.startswith("out of memory on the GPU (2.50 GiB more were asked for): lower data.batch_size (now 128)")
    assert out_of_memory_line(MemoryError(), SETTINGS).startswith("out of memory on this machine: lower")


def test_what_lowers_nothing_is_not_advised():
    settings = {"data": {"batch_size": 8}, "trainer": {"precision": "bf16-mixed"}}
    line = out_of_memory_line(MemoryError(), settings)
    assert "precision" not in line
    assert "eval_batch_size" not in line
    assert "precision (now 64-true; 32-true needs" in out_of_memory_line(
        MemoryError(), {"trainer": {"precision": "64-true"}}
    )


@pytest.mark.parametrize("error", [ValueError("out of range"), RuntimeError("mat1 and mat2"), OSError(28, "No space")])
def test_other_errors_are_none_of_this(error):
    assert out_of_memory_line(error, SETTINGS) is None
