"""What is said when memory runs out: of the real errors of PyTorch and Python."""

import pytest
import torch

from pmodel.commands.memory import out_of_memory_line

SETTINGS = {"data": {"batch_size": 128, "eval_batch_size": 500}, "trainer": {"precision": "32-true"}}
LOWER = (
    "lower data.batch_size (now 128), data.eval_batch_size (now 500), trainer.precision (now 32-true), the size of the"
    " model"
)


def test_the_error_of_a_tensor_that_no_memory_holds_names_the_settings_and_their_values():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    asked = "1152921504606846976 bytes more were asked for"
    assert out_of_memory_line(caught.value, SETTINGS) == f"out of memory on this machine ({asked}): {LOWER}"


def test_the_error_of_a_gpu_is_told_from_that_of_the_machine():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of …")
    line = out_of_memory_line(error, SETTINGS)
    assert line == f"out of memory on the GPU (2.50 GiB more were asked for): {LOWER}"
    assert out_of_memory_line(MemoryError(), {}) == "out of memory on this machine: lower the size of the model"


@pytest.mark.parametrize("error", [ValueError("out of range"), RuntimeError("mat1 and mat2"), OSError(28, "No space")])
def test_other_errors_are_none_of_this(error):
    assert out_of_memory_line(error, SETTINGS) is None
