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
