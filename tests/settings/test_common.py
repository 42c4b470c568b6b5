"""`**common` in a signature, and what constructors refuse."""

import re
from pathlib import Path

import pytest

import pmodel
from pmodel.settings.signatures import signature

CONF = Path(__file__).parents[2] / "conf"


def test_common_stands_for_the_arguments_of_the_base_classes():
    own, base = (
        signature(f"pmodel.{name}") for name in ("models.pixelcnn.PixelCNN", "training.gradient.GradientModule")
    )
    between = signature("pmodel.models.autoregressive.AutoregressiveModule")
    assert {*base.parameters} < {*between.parameters} < {*own.parameters}
    assert "common" not in own.parameters
    assert not own.accepts_any


# Settings that came after runs which are opened and resumed without them; the default is what those runs did.
LATER = [
    "pmodel.data.huggingface.HuggingFace.storage",
    "pmodel.data.huggingface.HuggingFace.data_dir",
    "pmodel.data.image_folder.ImageFolder.storage",
    "pmodel.data.image_folder.ImageFolder.data_dir",
    "pmodel.data.torchvision_images.CelebA.storage",
    "pmodel.figures.latents.LatentScatter.num_images",
    "pmodel.figures.latents.LatentScatter.projection",
    "pmodel.models.vae.VAE.beta_warmup",
]


def test_no_constructor_that_conf_names_has_a_default():
    """It stands in conf/ alone; networks are modules that others build too."""
    targets = {m for f in CONF.rglob("*.yaml") for m in re.findall(r"_target_: (pmodel\.[\w.]+)", f.read_text())}
    own = sorted(target for target in targets if not target.startswith("pmodel.nets."))
    optional = [f"{t}.{n}" for t in own for n, p in signature(t).parameters.items() if not p.required]
    assert len(own) > 60
    assert optional == LATER


@pytest.mark.parametrize(
    ("option", "settings", "said"),
    [
        ("model=vae", {"latent_dim": 0}, "model.latent_dim=0: expected a whole number, at least 1"),
        ("model=vae", {"beta": -1}, "model.beta=-1: expected a finite number, at least 0"),
        (
            "model=pixelcnn",
            {"ema_decay": 1.0},
            "model.ema_decay=1.0: expected a finite number, more than 0 and less than 1",
        ),
        ("model=gan", {"prior": "cauchy"}, "model.prior=cauchy: expected one of normal, uniform"),
        ("data=digits", {"batch_size": 0}, "data.batch_size=0: expected a whole number, at least 1"),
        ("model=vea", {}, "model=vea: model has no option 'vea'; did you mean vae?"),
        ("data=points", {"flip": True}, "data.flip=True: data has no 'flip'"),
        ("model=vae", {"latnt_dim": 3}, "model.latnt_dim=3: model has no 'latnt_dim'; did you mean model.latent_dim?"),
    ],
)
def test_a_constructor_refuses_what_the_command_line_does(option, settings, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        pmodel.build(option, **settings)
    assert "\n" not in str(error.value)


def test_a_class_of_a_notebook_is_built_unchecked():
    from pmodel.models.kmeans import KMeans

    class Mine(KMeans):
        def __init__(self, **common):
            super().__init__(**common)

    assert Mine(
        data_shape=[2], num_clusters=2, start="random", num_starts=1, tolerance=0, init_size=9
    ).centres.shape == (2, 2)
