"""Only trusted targets are built, wherever they stand in a config or a checkpoint."""

import lightning
import pytest
import torch
from support import build

from pmodel.instantiate import instantiate


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "torch.hub.load", "builtins.eval"])
def test_foreign_targets_are_refused_at_any_depth(target):
    for node in ({"_target_": target}, {"_target_": "torch.nn.Identity", "nested": [{"inner": {"_target_": target}}]}):
        with pytest.raises(ValueError, match=f"_target_={target}"):
            instantiate(node)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "pmodel.runs.opening.torch.load",
            "pmodel.runs.opening.torch.hub.load",
            "pmodel.runs.opening.json.loads",
            "pmodel.runs.opening.open_run",
        ),
        *("torch.nn.init.os.system", "torch.optim.lr_scheduler.partial", "torch.nn.functional.relu"),
        *("pmodel.models.vae.Tensor", "pmodel.runs.opening.DictConfig"),
    ],
)
def test_names_that_go_through_what_a_module_has_imported_are_refused(target):
    with pytest.raises(ValueError, match=f"^_target_={target}: .*$"):
        instantiate({"_target_": "torch.nn.Identity", "nested": {"_target_": target}})


def test_classes_that_a_package_shows_under_a_shorter_name_are_built():
    assert isinstance(instantiate({"_target_": "torch.nn.ReLU"}), torch.nn.ReLU)
    assert instantiate({"_target_": "torch.optim.Adam"}, [torch.zeros(1, requires_grad=True)]).defaults["lr"] == 1e-3


def test_a_checkpoint_that_names_a_foreign_target_runs_nothing(tmp_path):
    model, _ = build()
    marker = tmp_path / "ran"
    hyperparameters = dict(model.hparams)
    hyperparameters["network"] = {
        "encoder": {"_target_": "os.system", "command": f"touch {marker}"},
        "decoder": hyperparameters["network"]["decoder"],
    }
    path = tmp_path / "evil.ckpt"
    versioned = {"pytorch-lightning_version": lightning.__version__, "hyper_parameters": hyperparameters}
    torch.save({"state_dict": model.state_dict(), **versioned}, path)
    with pytest.raises(ValueError, match=r"_target_=os\.system"):
        type(model).load_from_checkpoint(path, weights_only=True)
    assert not marker.exists()


def test_nested_dicts_stay_plain_and_errors_keep_their_own_words():
    model, _ = build()
    assert type(model.hparams["network"]) is dict
    with pytest.raises(ValueError, match=r"^model\.latent_dim=0"):
        build("model.latent_dim=0")
