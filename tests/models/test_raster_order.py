"""Rows that are recorded once and played again draw the images that rows done one by one draw."""

from collections.abc import Callable

import pytest
import torch
from autoregressive_family import FAMILY, random_images, small
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pmodel.models import raster_order


class Recorder(TorchDispatchMode):
    """What a CUDA graph does, on the CPU: the same operations on the same tensors, without any Python in between."""

    def __init__(self, run: Callable[[], None]):
        super().__init__()
        self.calls, self.before, self.plays = [], {}, 0
        with self:
            run()
        for storage, content in self.before.values():  # recording does nothing
            storage.copy_(content)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert "_local_scalar_dense" not in str(func), "waits for the device"
        names = [argument.name for argument in func._schema.arguments if argument.is_write]
        given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        for name in names:
            storage = given[name].untyped_storage()
            self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, result))
        return result

    def replay(self) -> None:
        self.plays += 1
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@pytest.fixture
def recordings(monkeypatch) -> list[Recorder]:
    found = []

    def recorded(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        found.append(Recorder(run))
        return found[-1].replay

    monkeypatch.setattr(raster_order, "REPLAYED_ON", ("cpu",))
    monkeypatch.setattr(raster_order, "recorded", recorded)
    return found


def draws(name: str, num_channels: int, num_classes: int | None, device: str = "cpu") -> list[torch.Tensor]:
    """Samples and completions, of eleven rows: one too many for periods of two."""
    shape = [num_channels, 11, 5]
    model = small(name, shape, 3, num_classes).float().to(device)
    x = random_images(4, shape, 3).float().to(device)
    generator = torch.Generator().manual_seed(2)
    known = torch.rand(4, *shape, generator=generator) < 0.5
    known[:, :, 7] = True
    return [model.sample(5, generator=generator), model.complete(x, known, generator=generator)]


# Others have weights of their own for each place, so no row is like another.
ALIKE = [name for name in FAMILY if name not in ("fvsbn", "nade", "pixel_transformer")]


@pytest.mark.parametrize(("num_channels", "num_classes"), [(1, None), (3, 2)], ids=str)
@pytest.mark.parametrize("name", ALIKE)
def test_recorded_rows_draw_the_same(monkeypatch, recordings, name, num_channels, num_classes):
    found = draws(name, num_channels, num_classes)
    plays = [recording.plays for recording in recordings]
    # Two images' worth each; of a multi-scale model, whose rows are all told something else, the small images'.
    rows = {"pixelcnn_pp": 3, "pixelrnn_multiscale": 4}.get(name, 9)
    assert plays == [rows, rows]
    monkeypatch.setattr(raster_order, "REPLAYED_ON", ())
    for one, other in zip(found, draws(name, num_channels, num_classes), strict=True):
        assert torch.equal(one, other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", FAMILY)
def test_a_gpu_draws_the_same_row_by_row_and_recorded(monkeypatch, name):
    found = draws(name, 3, 2, "cuda")
    monkeypatch.setattr(raster_order, "REPLAYED_ON", ())
    for one, other in zip(found, draws(name, 3, 2, "cuda"), strict=True):
        assert torch.equal(one, other)
