"""A model that is evaluated, and what several metrics need of it, made once."""

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from pmodel.evaluation.draws import PART, draw_part, part_seed
from pmodel.features.choice import Features
from pmodel.features.dataset_network import seen_by_network
from pmodel.features.tensor_files import read_tensors, sha256, write_tensors
from pmodel.processes.group import ProcessGroup
from pmodel.processes.launch import is_first
from pmodel.runs.results import Number

# Part of the names of kept files: counts up with every change that makes other values of the same examples.
RECIPE = 2
# Which training examples the reference is, for the protocol.
REFERENCE_PART = "second half"
# The most samples that are drawn, where no number is typed.
MAX_SAMPLES = 10_000
# Numbers in all examples of a split that are held at once: 2^28 float32 are 1 GiB.
MAX_VALUES = 2**28

# The largest tensors that are kept in a file, and in the memory of the process.
MAX_FILE_BYTES, MAX_KEPT_BYTES = 2**30, 2**26

# What this process has read or measured already.
_kept: dict[tuple[str, str], dict[str, Tensor]] = {}


class Subject:
    """A model, the data that it is evaluated on, and the processes that do it.

    The model is on their device and in eval mode.

    Args:
        split: whose examples the model is evaluated on.
        features: which network's features tell sets of examples apart.
        cache_dir: keeps that network and the features of real examples; None: nowhere.
        batch_size: examples that are passed through the model at once.
        about_training: numbers that the training knows, such as its time.
        answer: with which of its settings changed the model answers, for the protocol.
    """

    # Examples that are drawn at once.
    PART = PART

    def __init__(
        self,
        model: Any,
        data: Any,
        split: str = "test",
        features: Features | None = None,
        group: ProcessGroup | None = None,
        cache_dir: Path | None = None,
        batch_size: int = 500,
        about_training: list[Number] | None = None,
        answer: dict[str, Any] | None = None,
    ):
        self.model, self.data, self.split = model, data, split
        self.group = group or ProcessGroup(model.device)
        self.chosen_features, self.cache_dir = features or Features("auto", None), cache_dir
        self.batch_size, self.about_training = batch_size, about_training or []
        self.answer = {"answer": answer} if answer else {}
        self._drawn: list[Tensor] = []
        self._seconds: list[float] = []
        self._features_of_samples: Tensor | None = None

    @cached_property
    def examples(self) -> Any:
        """All examples of the split, or as many as 2^28 numbers hold, and their labels, on the CPU."""
        return self.data.examples(self.split, MAX_VALUES // math.prod(self.data.shape))

    @cached_property
    def lazily(self) -> tuple[Any, Tensor]:
        """The same, for `over`, which holds a part of them at a time."""
        return self.data.lazily(self.split, MAX_VALUES // math.prod(self.data.shape))

    @cached_property
    def training_lazily(self) -> tuple[Any, Tensor]:
        """The same of `training_examples`."""
        return self.data.lazily("train", MAX_VALUES // math.prod(self.data.shape))

    @cached_property
    def training_examples(self) -> Any:
        """All training examples, or as many as 2^28 numbers hold, and their labels, on the CPU."""
        return self.data.examples("train", MAX_VALUES // math.prod(self.data.shape))

    @property
    def reference_examples(self) -> Tensor:
        """The training examples that the data set's own feature network has not seen, on the CPU: what they have in the
        place of samples is the reference."""
        x = self.training_examples.x
        return x[seen_by_network(len(x)) :]

    def num_samples(self, typed: int | None) -> int:
        """How many samples are compared with real examples: as many as the reference has, 10,000 at most."""
        return max(2, min(len(self.reference_examples), MAX_SAMPLES)) if typed is None else typed

    def over(
        self,
        function: Callable[[Tensor, Generator], Tensor],
        x: Any,
        batch_size: int | None = None,
        what: str | None = "measuring",
    ) -> Tensor:
        """The values of a function of examples and noise, one for each of x (N, …), on the CPU; each example is passed
        once, by one of the processes.

        x: a tensor, or what `lazily` gives
        what: see `ProcessGroup.map`
        """
        size, device, written = batch_size or self.batch_size, self.group.device, torch.empty(0)
        parts = x.split(size)

        def values(i: int) -> Tensor | None:
            nonlocal written
            with torch.no_grad():
                found = function(parts[i].to(device), Generator(device).manual_seed(part_seed(i))).cpu()
            if self.group.count > 1:
                return found
            # Into one tensor: small ones that stay between large ones that go would keep the memory of these.
            if i == 0:
                written = found.new_empty(len(x), *found.shape[1:])
            written[i * size : i * size + len(found)] = found
            return None

        found = self.group.map(values, range(len(parts)), what)
        return written if self.group.count == 1 else torch.cat(found)

    def log_densities(
        self,
        function: Callable[[Tensor, Generator], Tensor],
        x: Any,
        batch_size: int | None = None,
        what: str | None = "measuring",
    ) -> Tensor:
        """What `over` gives of a function that is log p(x), or a bound on it: of a density that of the source's
        coordinates, not of those in which the model has them."""
        return self.over(function, x, batch_size, what) - self.data.log_volume

    def samples(self, n: int) -> Tensor:
        """The first n draws of the model, the same each time, (n, …), on the CPU."""
        wanted = -(-n // self.PART)
        if wanted > len(self._drawn):
            drawn = self.group.map(self._draw, range(len(self._drawn), wanted), "drawing samples")
            self._drawn += [x for x, _ in drawn]
            self._seconds += [seconds for _, seconds in drawn]
        return torch.cat(self._drawn[:wanted])[:n]

    def _draw(self, i: int) -> tuple[Tensor, float]:
        return draw_part(self.model, i, self.group.device, self.PART)

    @property
    def seconds_per_sample(self) -> float:
        """Of the draws so far, PART at once: the median over these parts; NaN without any."""
        seconds = torch.tensor(self._seconds, dtype=torch.float64)
        return seconds.median().item() / self.PART if self._seconds else math.nan

    @cached_property
    def extractor(self) -> Any:
        """The network of `features`, on the processes' device."""
        # The others find what the first one has trained or downloaded.
        self.group.from_first(self._make_extractor)
        return self._make_extractor()

    def _make_extractor(self) -> Any:
        return self.chosen_features.extractor(self.data, self.cache_dir).to(self.group.device)

    @property
    def network(self) -> dict[str, Any]:
        """What a number that looks through it depends on, for its protocol."""
        extractor = self.extractor
        return {"feature_network": extractor.name, "feature_hash": extractor.hash, "resizer": extractor.resizer}

    def features_of(self, x: Tensor) -> Tensor:
        """Features (N, D) of examples."""
        return self.over(lambda part, _: self.extractor.features(part), x, self.extractor.part, "features")

    def real_features(self, x: Tensor) -> Tensor:
        """Features (N, D) of real examples, kept for the next evaluation."""
        return self.kept("features", (*self.network.values(), x), lambda: {"features": self.features_of(x)})["features"]

    def kept(
        self, what: str, key: tuple[Tensor | str, ...], compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Named tensors that depend on real examples alone, kept for the next evaluation if they are not too large.

        what: a word for the name of the file; key: all that they depend on
        """
        forms = (f"{x.dtype} {tuple(x.shape)}" for x in key if isinstance(x, Tensor))
        known = (what, sha256(str(RECIPE), *key, *forms))
        if known in _kept:
            return _kept[known]
        file = None if self.cache_dir is None else self.cache_dir / f"{what}-{known[1][:24]}.pt"
        found = None
        if file is not None:
            found = self.group.from_first(lambda: read_tensors(file, f"its {what} are measured anew"))
        if found is None:
            found = compute()
            if is_first() and file is not None and _size(found) <= MAX_FILE_BYTES:
                write_tensors(file, found, f"the next evaluation measures its {what} anew")
        if _size(found) <= MAX_KEPT_BYTES:
            _kept[known] = found
        return found

    def features_of_samples(self, n: int) -> Tensor:
        """Features (n, D) of the first n draws."""
        known = self._features_of_samples
        if known is None or len(known) < n:
            known = self._features_of_samples = self.features_of(self.samples(n))
        return known[:n]


def data_protocol(data: Any) -> dict[str, Any]:
    """What numbers on these data depend on, whatever was trained on them: runs with the same one share a table."""
    # Whether training drew anew concerns the model alone.
    return {key: value for key, value in data.protocol().items() if key != "redraw"}


def _size(tensors: dict[str, Tensor]) -> int:
    """In bytes."""
    return sum(x.nbytes for x in tensors.values())
