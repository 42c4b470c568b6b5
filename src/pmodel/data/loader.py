"""Whole batches cut from tensors in memory, in an order that can be taken up again anywhere."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from pmodel.data.batch import NO_KEY, RawBatch
from pmodel.data.keys import mix_key
from pmodel.data.shards import Shards

# Batches that are read before they are asked for: at most so many, and not of more bytes.
AHEAD, AHEAD_BYTES = 4, 2**26


class BatchLoader:
    """Yields one epoch of batches at each `iter`, this rank's share of them, each example once.

    With `shuffle`, epoch e visits the examples in a permutation drawn from (seed, e) alone, so nothing but the
    position needs to be saved. Batch i holds positions iB … (i + 1)B - 1 of it, over all ranks together; rank r takes
    an even, contiguous share, and knows where in the batch it lies. Nothing is padded, repeated or left out: the last
    batch is smaller, and if it is too small to give every rank an example, it joins the batch before it.

    x: examples (N, …), in memory or in shards, which a thread of its own reads some batches ahead; label: (N,)
    batch_size: B, the number of examples in a batch over all ranks; N and B are at least `world_size`
    reshuffle: False gives every epoch the order of the first
    """

    def __init__(
        self,
        x: Tensor | Shards,
        label: Tensor,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        reshuffle: bool = True,
    ) -> None:
        assert len(x) == len(label)
        assert min(batch_size, len(x)) >= world_size > rank >= 0
        self.x, self.label = x, label
        self.batch_size, self.shuffle, self.seed, self.reshuffle = batch_size, shuffle, seed, reshuffle
        self.rank, self.world_size = rank, world_size
        self._epoch, self._position = 0, 0  # of the next batch
        self._in_use = False  # whether this epoch has given a batch since it was begun or resumed
        self._epoch_length = len(self)

    def __len__(self) -> int:
        full, rest = divmod(len(self.x), self.batch_size)
        return full + (rest >= self.world_size or full == 0)

    def __iter__(self) -> Iterator[RawBatch]:
        # Lightning calls iter() before the first epoch and again before most others, also without taking a batch in
        # between (after a resume): only an epoch that has given a batch, or has none left, is over.
        if self._in_use or self._position >= self._epoch_length:
            self._epoch, self._position = self._epoch + 1, 0
        self._in_use = False
        return self._batches()

    def _batches(self) -> Iterator[RawBatch]:
        order = self._order() if self.shuffle else None
        indices = range(self._position, len(self))
        batches = (self._batch(i, order) for i in indices)
        if isinstance(self.x, Shards):
            bytes_of_batch = self.batch_size // self.world_size * self.x.shape[1:].numel() * self.x.dtype.itemsize
            ahead = max(1, min(AHEAD, AHEAD_BYTES // max(1, bytes_of_batch)))
            batches = _read_ahead(lambda i: self._batch(i, order), indices, ahead)
        for i, batch in zip(indices, batches, strict=True):
            self._position, self._in_use = i + 1, True
            yield batch

    def _batch(self, i: int, order: Tensor | None) -> RawBatch:
        """This rank's share of batch i of the epoch, whose examples stand at `order` (N,); None: in their own order."""
        share, *place = self._share(i)
        if order is None:
            return RawBatch(self.x[share], self.label[share], NO_KEY, *place)
        # The 0 stands for the first device, whose key they all have.
        key, index = mix_key(self.seed, self._epoch, i, 0), order[share]
        x = self.x[index] if isinstance(self.x, Shards) else self.x.index_select(0, index)
        return RawBatch(x, self.label.index_select(0, index), key, *place)

    def _order(self) -> Tensor:
        epoch = self._epoch if self.reshuffle else 0
        generator = torch.Generator().manual_seed(mix_key(self.seed, epoch))
        return torch.randperm(len(self.x), generator=generator)

    def _share(self, i: int) -> tuple[slice, int, int]:
        """This rank's positions of batch i, where in the batch they begin, and how many positions that has."""
        start = i * self.batch_size
        count = (len(self.x) if i == len(self) - 1 else start + self.batch_size) - start
        first, last = (start + count * r // self.world_size for r in (self.rank, self.rank + 1))
        return slice(first, last), first - start, count

    def limit_epoch(self, limit: int | float) -> None:
        """Says that the trainer ends each epoch after `limit` batches, or that share of them, so that a run which
        stopped there goes on with the next epoch."""
        self._epoch_length = min(limit, len(self)) if isinstance(limit, int) else int(limit * len(self))

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and the number of its batches that were given."""
        # Whether that was the last one depends on the number of processes.
        return {"epoch": self._epoch, "position": self._position, "over": self._position >= self._epoch_length}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on after the last batch that was given: the next `iter` yields what was left of that epoch."""
        self._epoch, self._position = state_dict["epoch"], state_dict["position"]
        if state_dict.get("over", False):
            self._position = max(self._position, self._epoch_length)
        self._in_use = False


def _read_ahead(read: Callable[[int], RawBatch], indices: range, ahead: int) -> Iterator[RawBatch]:
    """What `read` gives of each index, in their order; a thread is `ahead` of them ahead."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[RawBatch]] = deque()
        try:
            for i in indices:
                waiting.append(pool.submit(read, i))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for batch in waiting:
                batch.cancel()
