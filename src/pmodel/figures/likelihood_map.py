"""Where in an image its improbability lies."""

import math

import numpy as np
from lightning.pytorch import LightningModule

from pmodel.capabilities import LogProbPerPixel
from pmodel.figures.figure import Figure, NotShown, Scene, need
from pmodel.metrics.likelihood import bits_per_dim
from pmodel.settings.ranges import Count


class LikelihoodMap(Figure):
    """Validation images on levels, each above −log₂ p(pixel | all pixels before it) and its total −log p(x)."""

    group = "likelihood"
    caption = (
        "How many bits each pixel costs the model given all pixels before it: dark where the image could be "
        "foretold, bright where it surprised."
    )

    def __init__(self, num_images: Count):
        self.num_images = num_images

    def draw(self, scene: Scene, model: LightningModule) -> np.ndarray:
        need(model, LogProbPerPixel)
        x = scene.images(self.num_images)
        if scene.data.num_levels is None:
            raise NotShown("the images are continuous, not on levels")
        from pmodel.plots.likelihoods import likelihood_maps

        log_prob = model.log_prob_per_pixel(x.to(model.device)).cpu().double()
        totals = log_prob.sum((1, 2)).tolist()
        captions = [f"{-nats:,.1f} nats\n{bits_per_dim(nats, x[0].numel()):.2f} bits/dim" for nats in totals]
        return likelihood_maps(x, -log_prob.numpy() / math.log(2), captions)
