"""Colours that every eye can tell apart."""

import numpy as np
import pytest
from matplotlib.colors import TABLEAU_COLORS, to_rgb

from pmodel.plots.palette import CLUSTER_COLORS

# Machado, Oliveira and Fernandes 2009, table 1, severity 1: matrices on linear RGB.
EYES = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(linear: np.ndarray) -> np.ndarray:
    """Linear RGB (N, 3) → Ottosson's OKLab (2020), in which distances are those of perception."""
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.transpose(cones)) @ np.transpose(lab)


def least_distance(colors: list[str], eye: str) -> float:
    rgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = oklab(np.clip(linear @ np.transpose(EYES[eye]), 0, 1))
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
    return apart[np.triu_indices(len(colors), 1)].min()


@pytest.mark.parametrize("eye", EYES)
def test_the_colours_of_classes_differ_to_any_eye(eye):
    assert least_distance(CLUSTER_COLORS[:10], eye) > 0.07
    assert least_distance(CLUSTER_COLORS, eye) > 0.06


def test_the_measure_finds_colours_that_one_eye_takes_for_the_same():
    assert least_distance(list(TABLEAU_COLORS.values()), "protanopia") < 0.01
