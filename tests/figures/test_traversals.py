"""Traversals of linear decoders, whose images and order are known exactly."""

import numpy as np
import pytest
import torch
from built import Traversals
from figure_parts import FakeModel, data_of, noted

from pmodel.figures.figure import NotShown, Scene
from pmodel.figures.traversals import mean_squared_change, traversals
from pmodel.plots.grids import image_grid

D = 5
# What each dimension adds to the image, four pixels each: none of the last.
STRENGTH = torch.tensor([0.1, 0.3, 0.02, 0.2, 0.0])
# Training codes have these spreads, which change the order that the strengths have alone.
SPREAD = torch.tensor([4.0, 1.0, 1.0, 0.5, 9.0])
LABELS = 3


def decode(z):
    """x = ½ + Σ_k strength_k · z_k over four pixels of its own, (B, 1, 5, 4); what follows is added to the first."""
    x = 0.5 + (STRENGTH * z[:, :D])[:, None, :, None].repeat(1, 1, 1, 4)
    return x + z[:, D:].sum(1).view(-1, 1, 1, 1)


def examples(n, seed):
    """Examples that are their codes, in the first column of an image (1, 5, 4)."""
    z = SPREAD * torch.randn(n, D, generator=torch.Generator().manual_seed(seed))
    return z[:, None, :, None].repeat(1, 1, 1, 4)


def encode(x):
    return x[:, 0, :, 0]


MODEL = FakeModel(encode=encode, decode=decode, latent_dim=D)


def scene(num_validation=3):
    return Scene(data_of(examples(5000, 1), examples(num_validation, 2)), 1)


@pytest.fixture
def drawn(monkeypatch):
    """The rows, and the panels, of the image."""
    return noted(monkeypatch, "figures.traversals.labelled_rows", "figures.traversals.side_by_side")


def expected_rows(code, codes, num_steps):
    """By a slow loop: for each dimension its caption, its images, and their variance over the row."""
    rows = []
    for k in range(D):
        low, high = np.quantile(codes[:, k].double().numpy(), [0.01, 0.99])
        images = []
        for step in range(num_steps):
            z = code.clone()
            z[k] = low + (high - low) * step / (num_steps - 1)
            images.append(decode(z[None])[0])
        steps = np.linspace(low, high, num_steps)
        change = STRENGTH[k].item() ** 2 * steps.var() / D
        rows.append((f"z{k + 1}: {low:.2g} … {high:.2g}".replace("-", "−"), torch.stack(images), change))
    return rows


@pytest.mark.parametrize("num_rows", [1, 3, 10])
def test_rows_of_a_linear_decoder_are_its_images_in_falling_order_of_change(num_rows, drawn):
    Traversals(num_rows=num_rows, num_steps=7).draw(scene(), MODEL)
    # The spreads of 4 and 1 put dimension 1 before 2; the one with the widest range changes nothing.
    order = [0, 1, 3, 2, 4][:num_rows]
    expected = expected_rows(encode(examples(3, 2))[0], encode(examples(5000, 1))[:2000], 7)
    (rows,), (panels,) = drawn
    assert list(rows) == [expected[k][0] for k in order]
    for row, k in zip(rows.values(), order, strict=True):
        _, images, change = expected[k]
        torch.testing.assert_close(row, images)
        assert mean_squared_change(row) == pytest.approx(change, rel=1e-4, abs=1e-12)
    example, _ = panels.items()
    assert example[0] == "validation example"
    assert (example[1] == image_grid(examples(3, 2)[:1], 1)).all()


def test_a_code_of_many_dimensions_has_no_rows():
    long = torch.zeros(2, 301)
    model = FakeModel(encode=lambda x: long[: len(x)], decode=decode)
    with pytest.raises(NotShown, match="the code has 301 dimensions"):
        Traversals(2, 3).draw(scene(), model)


def test_without_a_validation_split_the_code_is_that_of_a_training_example(drawn):
    Traversals(num_steps=3).draw(scene(num_validation=0), MODEL)
    (rows,), (panels,) = drawn
    assert "training example" in panels
    (label, row), *_ = rows.items()
    assert label.startswith("z1")
    torch.testing.assert_close(row[:, :, 1:], decode(encode(examples(5000, 1)[:1]))[:, :, 1:].expand(3, -1, -1, -1))


def test_of_a_model_that_can_not_encode_draws_of_the_prior_are_traversed_and_their_labels_stay(drawn):
    asked = []

    def sample_latents(n, *, generator):
        z = SPREAD * torch.randn(n, D, generator=generator)
        return torch.cat([z, torch.eye(LABELS)[torch.randint(LABELS, (n,), generator=generator)]], 1)

    def decode_with_label(z):
        asked.append(z)
        return decode(z)

    model = FakeModel(sample_latents=sample_latents, decode=decode_with_label, latent_dim=D)
    Traversals(num_steps=4).draw(scene(), model)
    codes = sample_latents(2000, generator=torch.Generator().manual_seed(0))
    (rows,), (panels,) = drawn
    assert len(panels) == len({tuple(z[D:].tolist()) for part in asked for z in part}) == 1
    expected = expected_rows(codes[0], codes[:, :D], 4)
    assert list(rows) == [expected[k][0] for k in (0, 1, 3, 2, 4)]
    for row, k in zip(rows.values(), (0, 1, 3, 2, 4), strict=True):
        torch.testing.assert_close(row, expected[k][1])


def test_one_entry_of_a_code_runs_from_end_to_end_in_even_steps():
    code = torch.tensor([5.0, 6.0, 7.0])
    paths = traversals(code, torch.tensor([0.0, -1.0]), torch.tensor([1.0, 1.0]), 3)
    assert paths.tolist() == [[[0, 6, 7], [0.5, 6, 7], [1, 6, 7]], [[5, -1, 7], [5, 0, 7], [5, 1, 7]]]
