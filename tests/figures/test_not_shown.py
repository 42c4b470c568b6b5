"""Why a figure is left out, asked of models and data that it does not fit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from built import (
    ClusterCentres,
    ClusterMap,
    CodeArithmetic,
    Completions,
    DensityFigure,
    DiscriminatorField,
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
    Traversals,
)
from support import config

from pmodel.callbacks.figures import Figures
from pmodel.data.batch import Batch
from pmodel.figures.curves import LossCurves
from pmodel.figures.figure import NotShown, Scene
from pmodel.instantiate import instantiate


def never(*args, **kwargs):
    raise AssertionError("asked for nothing")


def model(**answers):
    """A model that answers these questions; what is only named by a figure's conditions is `never` asked."""
    return SimpleNamespace(device=torch.device("cpu"), fitted=True, monitor="val/loss", units={}, **answers)


def data(shape, validation=5, num_levels=2, num_classes=None):
    """20 training examples of a shape; figures ask for the validation split or fall back to these."""
    sizes = {"train": 20, "validation": validation}
    return SimpleNamespace(
        examples=lambda split, n: Batch(torch.rand(sizes[split], *shape)[:n], torch.zeros(min(n, sizes[split]))),
        shape=shape,
        num_levels=num_levels,
        num_classes=num_classes,
        class_names=None,
        split_sizes=sizes,
    )


def codes_of(D):
    return {"sample_latents": lambda n, *, generator=None: torch.zeros(n, D), "latent_dim": D}


def as_data(shape):
    """A decoder and a sampler of examples of a shape."""
    return lambda z, **_: torch.zeros(z if isinstance(z, int) else len(z), *shape)


IMAGES, FOUR_CHANNELS, EMPTY = data((1, 8, 8)), data((4, 8, 8)), data((1, 8, 8), validation=0)
LINE, PLANE, SPACE = data((1,)), data((2,)), data((3,))
AGAINST = "only for models trained against a discriminator"
GAN = {"sample": never, "discriminate": never}
GAN_CODES = {**codes_of(4), "discriminate": never}
ENCODER = {"encode": never, "decode": as_data((1, 8, 8))}
THREE = torch.zeros(3), torch.eye(3), torch.ones(3) / 3
NO_IMAGES = "the data are points, not images"
NO_POINTS = "the data are images, not points"

CASES = [
    (SampleGrid, model(), IMAGES, "the model has no sample"),
    (SampleGrid, model(sample=as_data((3,))), SPACE, "the points have 3 dimensions, not 1 or 2"),
    (SampleGrid, model(sample=as_data((4, 8, 8))), FOUR_CHANNELS, "the images have 4 channels, not 1 or 3"),
    (SamplesOverTime, model(sample=never), IMAGES, AGAINST),
    (SamplesOverTime, model(**GAN), LINE, "the points have 1 dimension, not 2"),
    (SamplesOverTime, model(**GAN), FOUR_CHANNELS, "the images have 4 channels, not 1 or 3"),
    (ReconstructionGrid, model(), IMAGES, "the model has no reconstruct"),
    (ReconstructionGrid, model(reconstruct=never), SPACE, "the points have 3 dimensions, not 1 or 2"),
    (ReconstructionGrid, model(reconstruct=never), EMPTY, "there are no validation examples"),
    (ReconstructionGrid, model(reconstruct=never), FOUR_CHANNELS, "the images have 4 channels, not 1 or 3"),
    (Interpolations, model(encode=never), IMAGES, "the model has no decode"),
    (Interpolations, model(decode=never), IMAGES, "the model has neither encode nor sample_latents"),
    (Interpolations, model(encode=never, decode=never), PLANE, NO_IMAGES),
    (Interpolations, model(encode=never, decode=never), EMPTY, "there are no validation examples"),
    (Interpolations, model(**ENCODER), data((1, 8, 8), 1), "there is only one validation example"),
    (Interpolations, model(decode=as_data((2,)), **codes_of(4)), PLANE, NO_IMAGES),
    (Traversals, model(encode=never), IMAGES, "the model has no decode"),
    (Traversals, model(decode=never), IMAGES, "the model has neither encode nor sample_latents"),
    (Traversals, model(encode=never, decode=never), PLANE, NO_IMAGES),
    (Traversals, model(decode=as_data((2,)), **codes_of(4)), PLANE, NO_IMAGES),
    (CodeArithmetic, model(decode=never, **codes_of(4)), IMAGES, AGAINST),
    (CodeArithmetic, model(**GAN), IMAGES, "the model has no sample_latents"),
    (CodeArithmetic, model(**GAN_CODES), IMAGES, "the model has no decode"),
    (CodeArithmetic, model(decode=as_data((2,)), **GAN_CODES), PLANE, NO_IMAGES),
    (CodeArithmetic, model(decode=as_data((1, 8, 8)), **GAN_CODES), IMAGES, "the data have no labels"),
    (NearestNeighbours, model(discriminate=never), IMAGES, "the model has no sample"),
    (NearestNeighbours, model(sample=never), IMAGES, AGAINST),
    (NearestNeighbours, model(**GAN), PLANE, NO_IMAGES),
    (Completions, model(), IMAGES, "the model has no complete"),
    (Completions, model(complete=never), PLANE, NO_IMAGES),
    (Completions, model(complete=never), FOUR_CHANNELS, "the images have 4 channels, not 1 or 3"),
    (Completions, model(complete=never), EMPTY, "there are no validation examples"),
    (LikelihoodMap, model(), IMAGES, "the model has no log_prob_per_pixel"),
    (LikelihoodMap, model(log_prob_per_pixel=never), PLANE, NO_IMAGES),
    (
        LikelihoodMap,
        model(log_prob_per_pixel=never),
        data((1, 8, 8), num_levels=None),
        "the images are continuous, not on levels",
    ),
    (LatentManifold, model(), IMAGES, "the model has no decode"),
    (LatentManifold, model(decode=never), IMAGES, "the model has no sample_latents"),
    (
        LatentManifold,
        model(decode=never, discriminate=never, **codes_of(2)),
        IMAGES,
        "not for models trained against a discriminator, whose prior may be uniform",
    ),
    (LatentManifold, model(decode=never, **codes_of(64)), IMAGES, "the code has 64 dimensions, not 2"),
    (LatentManifold, model(decode=as_data((2,)), **codes_of(2)), PLANE, NO_IMAGES),
    (LatentScatter, model(latent_dim=2), IMAGES, "the model has no encode"),
    (LatentScatter, model(encode=never), IMAGES, "the model has no latent_dim"),
    (LatentScatter, model(encode=never, latent_dim=3), IMAGES, "the code has 3 dimensions, not 2"),
    (LatentScatter, model(encode=never, latent_dim=2), EMPTY, "there are no validation examples"),
    (ClusterCentres, model(), IMAGES, "the model has no clusters"),
    (ClusterCentres, model(clusters=lambda: (torch.eye(2), torch.ones(2) / 2)), PLANE, NO_IMAGES),
    (ClusterMap, model(), PLANE, "the model has no assign"),
    (ClusterMap, model(assign=never), IMAGES, NO_POINTS),
    (ClusterMap, model(assign=never), SPACE, "the points have 3 dimensions, not 1 or 2"),
    (PrincipalComponentsFigure, model(), IMAGES, "the model has no principal_components"),
    (
        PrincipalComponentsFigure,
        model(principal_components=lambda: THREE),
        SPACE,
        "the points have 3 dimensions, not 2",
    ),
    (
        PrincipalComponentsFigure,
        model(principal_components=lambda: (torch.zeros(4, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(2))),
        FOUR_CHANNELS,
        "the images have 4 channels, not 1 or 3",
    ),
    (DensityFigure, model(), PLANE, "the model has no log_prob"),
    (DensityFigure, model(log_prob=never), IMAGES, NO_POINTS),
    (DensityFigure, model(log_prob=never), SPACE, "the points have 3 dimensions, not 1 or 2"),
    (DiscriminatorField, model(sample=never), PLANE, AGAINST),
    (DiscriminatorField, model(**GAN), IMAGES, NO_POINTS),
    (DiscriminatorField, model(**GAN), SPACE, "the points have 3 dimensions, not 1 or 2"),
    (LossCurves, model(), IMAGES, "nothing was logged in training"),
    (Pairs, model(assign=never), IMAGES, NO_POINTS),
    (Pairs, model(assign=never), PLANE, "the points have 2 dimensions, not 3 or more"),
    (Pairs, model(), SPACE, "the model has neither assign nor sample"),
]


@pytest.mark.parametrize(
    ("figure", "asked", "of", "reason"), CASES, ids=[f"{figure().name}: {reason}" for figure, _, _, reason in CASES]
)
def test_the_reason_is_given_before_anything_is_asked_for(figure, asked, of, reason):
    with pytest.raises(NotShown) as found:
        figure().draw(Scene(of, 1), asked)
    assert str(found.value) == reason


def test_every_figure_of_the_config_has_reasons():
    include = config()["callbacks"]["figures"]["include"]
    figures = {type(instantiate(node)) for node in include.values()}
    # Of the data, which there always are.
    assert {figure for figure in figures if not figure.of_data} == {type(figure()) for figure, *_ in CASES}


def test_figures_without_an_image_leave_no_file_in_training_and_their_reason_after_it(tmp_path):
    figures = Figures(str(tmp_path), {"curves": {"_target_": "pmodel.figures.curves.LossCurves"}}, 10)
    figures.figures.append(DensityFigure())
    scene = Scene(IMAGES, 3)
    drawn = list(figures.drawn(scene, model(log_prob=never)))
    assert [figure for figure, _ in drawn] == figures.figures
    assert all(isinstance(reason, NotShown) for _, reason in drawn)
    assert [str(reason) for _, reason in drawn] == ["nothing was logged in training", NO_POINTS]
    # The history of a checkpoint makes the first one possible.
    figures.load_state_dict({"loss_curves": {"train/loss": ([1, 2], [0.5, 0.25])}})
    (_, image), _ = figures.drawn(scene, model(log_prob=never))
    assert isinstance(image, np.ndarray)
    assert not list(tmp_path.iterdir())


def test_gradients_are_off_while_a_figure_is_drawn_and_on_again_for_who_takes_it(tmp_path):
    figures, seen = Figures(str(tmp_path), {}, 10), []
    figures.figures = [
        SimpleNamespace(of_data=False, draw=lambda scene, model: seen.append(torch.is_grad_enabled()))
    ] * 2
    for _ in figures.drawn(Scene(PLANE, 1), model()):
        assert torch.is_grad_enabled()
    assert seen == [False, False]
