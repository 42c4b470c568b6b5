"""Draws over epochs of models without a discriminator."""

import pytest
import torch
from built import SamplesOverTime
from figure_parts import FakeModel, FakeTrainer, data_of, is_drawn, noted, points

from pmodel.figures.figure import NotShown, scene_of


class NoisyDecoder(FakeModel):
    """E[x | z] is the code and a shift; draws are black or white."""

    shift = 0.0

    def sample_latents(self, n, *, generator=None):
        return torch.rand(n, 64, generator=generator) / 2

    def decode(self, z):
        return (z + self.shift).view(-1, 1, 8, 8)

    def sample(self, n, *, generator=None):
        return (self.decode(self.sample_latents(n, generator=generator)) > 0.5).float()


def test_a_decoders_means_of_the_same_codes_are_shown_without_the_noise_of_its_draws(monkeypatch):
    rows_drawn, pages = (noted(monkeypatch, f"figures.over_time.{name}") for name in ("labelled_rows", "side_by_side"))
    images = torch.rand(20, 1, 8, 8)
    trainer, figure = FakeTrainer(data_of(images, images), NoisyDecoder()), SamplesOverTime(num_images=3, num_rows=4)
    with pytest.raises(NotShown, match="no earlier epoch"):
        figure.draw(scene_of(trainer), trainer.lightning_module)
    for epoch in (1, 2):
        trainer.go_to(epoch)
        trainer.lightning_module.shift = 0.1 * epoch
        figure.note(trainer)
    figure.draw(scene_of(trainer), trainer.lightning_module)
    codes = trainer.lightning_module.sample_latents(3, generator=torch.Generator().manual_seed(0)).view(3, 1, 8, 8)
    ((rows,),) = rows_drawn
    for epoch in (1, 2):
        torch.testing.assert_close(rows[f"epoch {epoch}"], codes + 0.1 * epoch, atol=0.51 / 255, rtol=0)
    assert list(pages[0][0]) == ["E[x | z] of the same z while the model trains"]


def test_a_mixture_of_points_is_drawn_over_the_data():
    model = FakeModel(sample=lambda n, *, generator: torch.randn(n, 2, generator=generator))
    trainer, figure = FakeTrainer(points(2), model), SamplesOverTime()
    for epoch in (1, 2):
        trainer.go_to(epoch)
        figure.note(trainer)
    assert is_drawn(figure.draw(scene_of(trainer), model))
