"""Each example once per epoch, in an order that depends on the seed and the position alone."""

import pytest
import torch

from pmodel.data.batch import NO_KEY
from pmodel.data.keys import mix_key
from pmodel.data.loader import BatchLoader


def loader(count=22, batch_size=4, **settings) -> BatchLoader:
    number = torch.arange(count)
    return BatchLoader(number[:, None].float(), number, batch_size, **settings)


def labels(batches) -> list[list[int]]:
    return [batch.label.tolist() for batch in batches]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("count", "batch_size"), [(22, 4), (20, 4), (21, 4), (3, 4), (25, 6)])
def test_each_example_is_seen_once_per_epoch_over_all_ranks(shuffle, world_size, count, batch_size):
    ranks = [loader(count, batch_size, shuffle=shuffle, rank=rank, world_size=world_size) for rank in range(world_size)]
    for _ in range(2):
        per_rank = [labels(rank) for rank in ranks]
        assert {len(batches) for batches in per_rank} == {len(ranks[0])}
        assert all(batch for batches in per_rank for batch in batches)
        sizes = [[len(batch) for batch in batches] for batches in per_rank]
        assert all(max(step) - min(step) <= 1 for step in zip(*sizes, strict=True))
        assert sorted(n for batches in per_rank for batch in batches for n in batch) == list(range(count))


def test_ranks_together_see_the_batches_of_a_single_device():
    alone = loader(24, 6, shuffle=True, seed=5)
    ranks = [loader(24, 6, shuffle=True, seed=5, rank=rank, world_size=3) for rank in range(3)]
    together = [[n for share in shares for n in share] for shares in zip(*map(labels, ranks), strict=True)]
    assert together == labels(alone)


def test_images_and_labels_stay_together():
    for batch in loader(shuffle=True):
        assert batch.x[:, 0].tolist() == batch.label.tolist()


def test_order_depends_on_seed_and_epoch_alone():
    one, same, other = loader(shuffle=True, seed=1), loader(shuffle=True, seed=1), loader(shuffle=True, seed=2)
    first, second = labels(one), labels(one)
    assert first != second
    assert [first, second] == [labels(same), labels(same)]
    assert first != labels(other)


def test_evaluation_keeps_the_order_and_has_no_keys():
    batches = list(loader())
    assert labels(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19], [20, 21]]
    assert {batch.key for batch in batches} == {NO_KEY}


def test_keys_differ_between_all_steps_epochs_and_seeds_and_are_those_of_one_device_on_each():
    def drawn(**place: int) -> list[int]:
        loaders = [loader(shuffle=True, seed=seed, **place) for seed in range(3)]
        return [batch.key for batches in loaders for _ in range(4) for batch in batches]

    keys = drawn()
    assert len(set(keys)) == len(keys) == 3 * 4 * 6
    assert all(drawn(rank=rank, world_size=2) == keys for rank in range(2))
    assert all(0 <= key < 2**63 for key in keys)
    assert len({key % 2**32 for key in keys}) == len(keys)


def test_mixing_depends_on_every_number_and_their_order():
    assert len({mix_key(), mix_key(0), mix_key(1), mix_key(0, 0), mix_key(0, 1), mix_key(1, 0), mix_key(-1)}) == 7


def test_mixed_keys_have_even_bits():
    bits = torch.tensor([[(mix_key(i) >> bit) & 1 for bit in range(63)] for i in range(4000)]).double()
    assert (bits.mean(0) - 0.5).abs().max() < 0.05  # 6 standard deviations


def test_state_resumes_within_an_epoch_and_counts_epochs_from_there():
    whole = loader(shuffle=True, seed=4)
    epochs = [list(whole) for _ in range(3)]
    stopped = loader(shuffle=True, seed=4)
    list(stopped)
    batches = iter(stopped)
    next(batches), next(batches)
    resumed = loader(shuffle=True, seed=4)
    resumed.load_state_dict(stopped.state_dict())
    iter(resumed)  # Lightning asks for iterators that it never uses
    assert labels(resumed) == labels(epochs[1][2:])
    assert [batch.key for batch in resumed] == [batch.key for batch in epochs[2]]


def test_abandoned_epoch_is_followed_by_the_next():
    whole = loader(shuffle=True)
    epochs = [labels(whole) for _ in range(2)]
    cut = loader(shuffle=True)
    next(iter(cut))
    assert labels(cut) == epochs[1]


def test_an_epoch_that_was_over_is_over_on_another_number_of_processes():
    """Of 13 examples, two processes put the last one into the third batch, and one process into a fourth."""
    x, label = torch.arange(13.0)[:, None], torch.zeros(13)
    two = BatchLoader(x, label, 4, world_size=2)
    assert len(list(two)) == 3
    one = BatchLoader(x, label, 4)
    assert len(one) == 4
    one.load_state_dict(two.state_dict())
    assert len(list(one)) == 4
