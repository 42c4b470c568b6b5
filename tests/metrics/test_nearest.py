"""The nearest examples against a table of all distances."""

import pytest
import torch

from pmodel.metrics.nearest import nearest


@pytest.mark.parametrize(("D", "part"), [(2, 2**24), (64, 640), (64, 64), (3, 100)])
def test_nearest_are_those_of_all_pairs_in_their_order_whatever_the_parts(D, part, monkeypatch):
    monkeypatch.setattr("pmodel.metrics.nearest.PART_VALUES", part)
    generator = torch.Generator().manual_seed(0)
    # Far from 0, where |x|² − 2 x·y + |y|² loses digits.
    x, among = (1000 + torch.rand(n, D, generator=generator) for n in (13, 101))
    among[7] = x[3]
    distance, place = nearest(x, among, 5)
    pairs = (x[:, None].double() - among.double()).norm(dim=2)
    expected = pairs.sort(1)
    assert torch.equal(place, expected.indices[:, :5])
    torch.testing.assert_close(distance.double(), expected.values[:, :5], rtol=1e-4, atol=1e-4)
    assert (distance[3, 0], place[3, 0]) == (0, 7)


def test_a_stray_does_not_blur_the_distances_of_others():
    generator = torch.Generator().manual_seed(0)
    x, among = torch.rand(13, 64, generator=generator), torch.rand(500, 64, generator=generator)
    expected = nearest(x, among, 3)
    stray = torch.cat([x, torch.full((1, 64), 1e6)])
    distance, place = nearest(stray, among, 3)
    assert torch.equal(place[:-1], expected[1])
    torch.testing.assert_close(distance[:-1], expected[0])


def test_distances_held_at_once_are_bounded_also_in_few_dimensions(monkeypatch):
    monkeypatch.setattr("pmodel.metrics.nearest.PART_VALUES", 60)
    sizes, addmm = [], torch.addmm

    def measured(*args, **kwargs):
        sizes.append(addmm(*args, **kwargs).numel())
        return addmm(*args, **kwargs)

    monkeypatch.setattr("pmodel.metrics.nearest.torch.addmm", measured)
    nearest(torch.rand(20, 2), torch.rand(50, 2), 3)
    assert max(sizes) <= 60
    assert len(sizes) == 17
