"""Every file of conf/data against the class that it names."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pmodel.settings.signatures import signature

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def config(request):
    return with_shared(request.param)


def with_shared(path):
    """The settings of a file, and of the files that it begins with."""
    own = OmegaConf.load(path)
    shared = [name.removesuffix("@_here_") for name in own.pop("defaults", []) if name != "_self_"]
    return OmegaConf.unsafe_merge(*(with_shared(FILES[0].parent / f"{name}.yaml") for name in shared), own)


def test_config_has_every_argument_of_its_class(config):
    assert {*config} - {"_target_"} == set(signature(config["_target_"]).parameters)


def test_config_gives_models_the_number_of_classes():
    from support import config

    known = {"digits": 10, "mnist_5k": 10, "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "points": 8, "points_1d": 3}
    for path in FILES:
        of_users = {"image_folder": "path", "table": "path", "arrays": "path", "huggingface": "name"}
        typed = [f"data.{of_users[path.stem]}=unused"] if path.stem in of_users else []
        assert config(f"data={path.stem}", *typed)["data"]["num_classes"] == known.get(path.stem)
    assert config("data=points", "data.name=grid")["data"]["num_classes"] == 25
