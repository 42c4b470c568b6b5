"""Fields of a discriminator's verdicts: where things lie, and in which colours."""

import numpy as np
import pytest

from pmodel.plots.fields import axis_over, field_on_line, field_on_plane, verdict_range
from pmodel.plots.frame import Frame


def test_axes_cover_the_generated_points_that_are_not_far_off():
    real = np.linspace(0, 2, 50)
    near = axis_over(real, np.array([-1.5, 1.0, 3.5]), 100)
    np.testing.assert_allclose((near[0], near[-1]), (-1.8, 3.8))
    far = axis_over(real, np.array([-1e6, 1.0, 3.5, np.inf]), 100)
    np.testing.assert_allclose((far[0], far[-1]), (-0.3, 3.8))
    none = axis_over(np.zeros(3), np.empty(0), 10)
    assert none[0] < 0 < none[-1]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([0.2, 0.4], (0, 1)),
        ([np.nan, np.nan], (0, 1)),
        ([5.0, 5.0], (4, 6)),
        ([-3.0, *np.linspace(-1, 1, 999), np.nan], (-0.98, 0.98)),
    ],
)
def test_colours_range_over_probabilities_and_over_all_but_a_few_scores(verdicts, expected):
    np.testing.assert_allclose(verdict_range(np.array(verdicts)), expected, atol=0.01)


def across(image, low, high):
    """How far from the left the pixels are whose channels are between these."""
    return np.nonzero(((image >= low) & (image <= high)).all(-1))[1]


@pytest.mark.parametrize("upwards", [False, True])
def test_what_the_discriminator_calls_real_is_blue_and_the_points_have_strong_colours(upwards):
    axis = np.linspace(-1, 1, 50)
    verdicts = np.broadcast_to((axis > 0).astype(float), (50, 50))
    real, generated = np.full((2000, 2), 0.5), np.full((2000, 2), -0.5)
    frame = Frame([axis, axis], ["x", "y"], "title")
    image = field_on_plane(real, generated, frame, verdicts.T if upwards else verdicts, "D(x)")
    # Away from the colour bar and the legend, at the right and below.
    inside = image[60:-120, 60:-140]
    inside = inside[::-1].swapaxes(0, 1) if upwards else inside
    pale_blue, strong_blue = (
        across(inside, (150, 190, 230), (190, 225, 255)),
        across(inside, (0, 50, 130), (60, 110, 190)),
    )
    pale_orange, strong_orange = (
        across(inside, (235, 180, 130), (255, 215, 175)),
        across(inside, (180, 40, 0), (230, 100, 40)),
    )
    assert len(pale_orange) > 20_000 < len(pale_blue)
    assert pale_orange.max() < pale_blue.min()
    assert strong_orange.mean() < pale_blue.min() < strong_blue.mean()


def test_both_histograms_have_the_same_area_whatever_their_counts():
    axis, middle = np.linspace(-3, 3, 100), np.random.default_rng(0).uniform(0.2, 1.5, (2000, 1))
    frame, verdicts, filled = Frame([axis], ["x"], "title"), np.full(100, np.nan), []
    # All of one, on the right half, and none, or a few, of the other on the left.
    for real, generated in ((middle, np.empty((0, 1))), (middle[:300], -middle)):
        image = field_on_line(real, generated, frame, verdicts, "D(x)")
        inside = image.astype(int)[60:-100, 80:-80]
        filled.append(((inside[..., 2] > inside[..., 0] + 20), (inside[..., 0] > inside[..., 2] + 20)))
    (_, none), (blue, orange) = filled
    assert not none.any()
    assert blue.any(0).nonzero()[0].min() > orange.any(0).nonzero()[0].max()
    assert blue.sum() == pytest.approx(orange.sum(), rel=0.15)


def test_the_curve_stands_on_the_scale_of_probabilities():
    axis, points = np.linspace(-3, 3, 100), np.random.default_rng(0).normal(size=(2, 500, 1))
    frame = Frame([axis], ["x"], "title")
    images = [field_on_line(*points, frame, np.full(100, value), "D(x)") for value in (0.1, 0.9)]
    low, high = (np.nonzero((image[..., :].max(-1) < 60)[:, 200:600].mean(1) > 0.4)[0] for image in images)
    # The frame's two lines, and the curve's between them, further up for a larger value.
    top, bottom = min(low.min(), high.min()), max(low.max(), high.max())
    heights = [
        (bottom - np.median(rows[(rows > top + 5) & (rows < bottom - 5)])) / (bottom - top) for rows in (low, high)
    ]
    np.testing.assert_allclose(heights, [(0.1 + 0.04) / 1.08, (0.9 + 0.04) / 1.08], atol=0.02)
