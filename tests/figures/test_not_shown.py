"""Why a figure is left out, asked of models and data that it does not fit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built import (
    Bandwidths,
    ClusterCentres,
    ClusterMap,
    CodeArithmetic,
    Completions,
    DataFigure,
    DensityFigure,
    DiscriminatorField,
    FitOverTime,
    Interpolations,
    LatentManifold,
    LatentScatter,
    LikelihoodMap,
    NearestNeighbours,
    Pairs,
    PrincipalComponentsFigure,
    ReconstructionGrid,
    SampleGrid,
    SamplesOverTime,
    Spectrum,
    Traversals,
)
from figure_parts import FakeModel, data_of
from support import config

from pmodel.callbacks.figures import Figures
from pmodel.figures.curves import LossCurves
from pmodel.figures.figure import NotShown, Scene
from pmodel.instantiate import instantiate


def never(*args, **kwargs):
    raise AssertionError("asked for nothing")


def data(shape, validation=5, num_levels=2):
    """20 training examples of a shape; figures ask for the validation split or fall back to these."""
    return data_of(torch.rand(20, *shape), torch.rand(validation, *shape), num_levels)


def codes_of(D):
    return {"sample_latents": lambda n, *, generator=None: torch.zeros(n, D), "latent_dim": D}


def components(answer):
    return FakeModel(principal_components=lambda: answer)


def as_data(shape):
    """A decoder and a sampler of examples of a shape."""
    return lambda z, **_: torch.zeros(z if isinstance(z, int) else len(z), *shape)


IMAGES, FOUR_CHANNELS, EMPTY = data((1, 8, 8)), data((4, 8, 8)), data((1, 8, 8), validation=0)
CONTINUOUS = data((1, 8, 8), num_levels=None)
LINE, PLANE, SPACE = data((1,)), data((2,)), data((3,))
AGAINST = "only for models trained against a discriminator"
GAN = {"sample": never, "discriminate": never}
GAN_CODES = {**codes_of(4), "discriminate": never}
ENCODER = {"encode": never, "decode": as_data((1, 8, 8))}
THREE = torch.zeros(3), torch.eye(3), torch.ones(3) / 3
FOUR = torch.zeros(4, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(2)
PRIOR = "not for models trained against a discriminator, whose prior may be uniform"
NO_IMAGES = "the data are points, not images"
NO_POINTS = "the data are images, not points"

CHANNELS = "the images have 4 channels, not 1 or 3"
LABELLED_PLANE = data_of(torch.rand(20, 2), torch.rand(5, 2), class_names=("a", "b", "c"))
OF_CLUSTERS = "the codes say to which cluster a point belongs: see clusters"
PIXEL_BY_PIXEL = "to draw pixel by pixel after each epoch would take too long"
THREE_DIMENSIONS = "the points have 3 dimensions, not 1 or 2"

# What each asks a model for first.
FIRST = {
    SampleGrid: "sample",
    NearestNeighbours: "sample",
    ReconstructionGrid: "reconstruct",
    Completions: "complete",
    Interpolations: "decode",
    Traversals: "decode",
    LatentManifold: "decode",
    LatentScatter: "encode",
    CodeArithmetic: "decode",
    SamplesOverTime: "sample",
    ClusterCentres: "clusters",
    ClusterMap: "assign",
    FitOverTime: "assign",
    PrincipalComponentsFigure: "principal_components",
    Spectrum: "principal_components",
    Bandwidths: "held_out_log_prob",
    DensityFigure: "log_prob",
    LikelihoodMap: "log_prob_per_pixel",
}
OF_IMAGES = {
    Interpolations: {"encode": never, "decode": never},
    Completions: {"complete": never},
    LikelihoodMap: {"log_prob_per_pixel": never},
}
OF_POINTS = {ClusterMap: {"assign": never}, DensityFigure: {"log_prob": never}, DiscriminatorField: GAN}
CASES = [
    *((figure, FakeModel(), IMAGES, f"the model has no {method}") for figure, method in FIRST.items()),
    *(
        (figure, FakeModel(**answers), data, reason)
        for figure, answers in OF_IMAGES.items()
        for data, reason in ((PLANE, NO_IMAGES), (FOUR_CHANNELS, CHANNELS), (EMPTY, "there are no validation examples"))
    ),
    *(
        (figure, FakeModel(**answers), data, reason)
        for figure, answers in OF_POINTS.items()
        for data, reason in ((IMAGES, NO_POINTS), (SPACE, THREE_DIMENSIONS))
    ),
    (SampleGrid, FakeModel(sample=as_data((3,))), SPACE, THREE_DIMENSIONS),
    (SampleGrid, FakeModel(sample=as_data((4, 8, 8))), FOUR_CHANNELS, CHANNELS),
    (SamplesOverTime, FakeModel(sample=never, log_prob_per_pixel=never), IMAGES, PIXEL_BY_PIXEL),
    (SamplesOverTime, FakeModel(sample=never), IMAGES, "there is no earlier epoch to compare with"),
    (SamplesOverTime, FakeModel(**GAN), LINE, "the points have 1 dimension, not 2"),
    (SamplesOverTime, FakeModel(**GAN), FOUR_CHANNELS, CHANNELS),
    (ReconstructionGrid, FakeModel(reconstruct=never), SPACE, THREE_DIMENSIONS),
    (ReconstructionGrid, FakeModel(reconstruct=never), EMPTY, "there are no validation examples"),
    (ReconstructionGrid, FakeModel(reconstruct=never), FOUR_CHANNELS, CHANNELS),
    (Interpolations, FakeModel(decode=never), IMAGES, "the model has neither codes nor a prior of codes"),
    (Interpolations, FakeModel(**ENCODER), data((1, 8, 8), 1), "there is only one validation example"),
    (Interpolations, FakeModel(decode=as_data((2,)), **codes_of(4)), PLANE, NO_IMAGES),
    (Traversals, FakeModel(decode=never), IMAGES, "the model has neither codes nor a prior of codes"),
    (Traversals, FakeModel(encode=never, decode=never), PLANE, NO_IMAGES),
    (Traversals, FakeModel(decode=as_data((2,)), **codes_of(4)), PLANE, NO_IMAGES),
    (CodeArithmetic, FakeModel(decode=never), IMAGES, "the model has neither codes nor a prior of codes"),
    (CodeArithmetic, FakeModel(decode=as_data((2,)), **GAN_CODES), LABELLED_PLANE, NO_IMAGES),
    (CodeArithmetic, FakeModel(encode=never, decode=never), LABELLED_PLANE, NO_IMAGES),
    (CodeArithmetic, FakeModel(decode=never, **GAN_CODES), IMAGES, "the data have no labels"),
    (CodeArithmetic, FakeModel(encode=never, decode=never), IMAGES, "the data have no labels"),
    (NearestNeighbours, FakeModel(sample=never), IMAGES, AGAINST),
    (NearestNeighbours, FakeModel(**GAN), PLANE, NO_IMAGES),
    (LikelihoodMap, FakeModel(log_prob_per_pixel=never), CONTINUOUS, "the images are continuous, not on levels"),
    (LatentManifold, FakeModel(decode=never), IMAGES, "the model has no sample_latents"),
    (LatentManifold, FakeModel(decode=never, discriminate=never, **codes_of(2)), IMAGES, PRIOR),
    (LatentManifold, FakeModel(decode=never, **codes_of(64)), IMAGES, "the code has 64 dimensions, not 2"),
    (LatentManifold, FakeModel(decode=as_data((2,)), **codes_of(2)), PLANE, NO_IMAGES),
    (LatentScatter, FakeModel(encode=never), EMPTY, "there are fewer than 3 validation examples"),
    (LatentScatter, FakeModel(encode=never, assign=never), PLANE, OF_CLUSTERS),
    (ClusterCentres, FakeModel(clusters=lambda: (torch.eye(2), torch.ones(2) / 2)), PLANE, NO_IMAGES),
    (FitOverTime, FakeModel(assign=never, clusters=never), IMAGES, NO_POINTS),
    (FitOverTime, FakeModel(assign=never, clusters=never), LINE, "the points have 1 dimension, not 2"),
    (PrincipalComponentsFigure, components(THREE), SPACE, "the points have 3 dimensions, not 2"),
    (PrincipalComponentsFigure, components(FOUR), FOUR_CHANNELS, CHANNELS),
    (DiscriminatorField, FakeModel(sample=never), PLANE, AGAINST),
    (LossCurves, FakeModel(), IMAGES, "nothing was logged in training"),
    (Pairs, FakeModel(assign=never), IMAGES, NO_POINTS),
    (Pairs, FakeModel(assign=never), PLANE, "the points have 2 dimensions, not 3 or more"),
    (DataFigure, None, FOUR_CHANNELS, CHANNELS),
    (Pairs, FakeModel(), SPACE, "the model neither clusters nor samples"),
]


@pytest.mark.parametrize(("figure", "asked", "of", "reason"), CASES)
def test_the_reason_is_given_before_anything_is_asked_for(figure, asked, of, reason):
    with pytest.raises(NotShown) as found:
        figure().draw(Scene(of, 1), asked)
    assert str(found.value) == reason


def test_every_figure_of_the_config_has_reasons():
    include = config()["callbacks"]["figures"]["include"]
    figures = {type(instantiate(node)) for node in include.values()}
    assert figures == {type(figure()) for figure, *_ in CASES}


def test_figures_without_an_image_leave_no_file_in_training_and_their_reason_after_it(tmp_path):
    include = config()["callbacks"]["figures"]["include"]
    figures = Figures(str(tmp_path), {name: include[name] for name in ("loss_curves", "density")}, 10)
    scene = Scene(IMAGES, 3)
    drawn = list(figures.drawn(scene, FakeModel(log_prob=never)))
    assert [figure for figure, _ in drawn] == figures.figures
    assert all(isinstance(reason, NotShown) for _, reason in drawn)
    assert [str(reason) for _, reason in drawn] == ["nothing was logged in training", NO_POINTS]
    # The history of a checkpoint makes the first one possible.
    figures.load_state_dict({"loss_curves": {"train/loss": ([1, 2], [0.5, 0.25])}})
    (_, image), _ = figures.drawn(scene, FakeModel(log_prob=never))
    assert isinstance(image, np.ndarray)
    assert not list(tmp_path.iterdir())


def test_gradients_are_off_while_a_figure_is_drawn_and_on_again_for_who_takes_it(tmp_path):
    figures, seen = Figures(str(tmp_path), {}, 10), []
    figures.figures = [
        SimpleNamespace(of_data=False, draw=lambda scene, model: seen.append(torch.is_grad_enabled()))
    ] * 2
    for _ in figures.drawn(Scene(PLANE, 1), FakeModel()):
        assert torch.is_grad_enabled()
    assert seen == [False, False]
