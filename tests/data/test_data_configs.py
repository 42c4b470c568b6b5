"""Every file of conf/data against the class that it names."""

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

FILES = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def config(request):
    return OmegaConf.load(request.param)


def test_config_has_every_argument_of_its_class(config):
    module, name = config["_target_"].rsplit(".", 1)
    arguments = set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    drawn = {"num_train", "num_validation", "num_test"} if config.get("name") == "csv" else set()
    assert set(config) - {"_target_"} == arguments - drawn
