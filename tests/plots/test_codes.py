"""Names on a map of codes."""

import itertools

import numpy as np

from pmodel.plots.codes import apart


def test_names_that_lie_on_each_other_are_moved_apart_and_others_stay():
    sizes = np.tile([[30.0, 12.0]], (5, 1))
    middles = np.array([[100.0, 100.0], [102.0, 103.0], [101.0, 99.0], [300.0, 100.0], [300.0, 200.0]])
    moved = apart(middles, sizes)
    np.testing.assert_array_equal(moved[3:], middles[3:])
    assert np.abs(moved - middles).max() < 30
    for i, j in itertools.combinations(range(5), 2):
        assert (np.abs(moved[i] - moved[j]) >= (sizes[i] + sizes[j]) / 2 - 0.51).any()


def test_names_at_one_place_are_moved_apart_too():
    moved = apart(np.zeros((4, 2)), np.full((4, 2), 10.0))
    assert len(np.unique(moved.round(3), axis=0)) == 4
