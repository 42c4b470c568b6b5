"""Mistakes in a config: one line each, with the key as typed, the file, the nearest name, and exit code 2."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from support import config

from pmodel.commands.command_line import checked_command_line
from pmodel.config.check import check_overrides
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError
from pmodel.runs.typed import CONFIG_DIR

GROUPS = ["model", "data", "trainer", "logger", "callbacks", "experiment", "debug", "paths"]


def message(*overrides: str, config_dir: Path = CONFIG_DIR, multirun: bool = False) -> str:
    register_resolvers()
    with pytest.raises(ConfigError) as error:
        check_overrides("train", list(overrides), [config_dir], multirun)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("model", "key"), [("pixelcnn", "model.schedule"), ("gan", "model.schedule.generator")])
def test_a_schedule_that_falls_needs_a_training_with_an_end(model, key):
    said = message(f"model={model}", "trainer.max_epochs=-1", "trainer.max_steps=-1")
    assert said.startswith(f"trainer.max_epochs=-1: expected an end, which {key} falls towards; set trainer.max_epochs")
    fixed = ["model=pixelcnn", "+model.schedule.scheduler.T_max=9"]
    for fits in (["model=vae"], [f"model={model}", "trainer.max_steps=9"], ["model=kmeans"], fixed):
        check_overrides("train", [*fits, "trainer.max_epochs=-1"])


# file → (text to replace, replacement, the key that must be named, the suggestion)
IN_FILES = {
    "model/vae.yaml": ("latent_dim: 16", "latnt_dim: 16", "model.latnt_dim=16", "model.latent_dim"),
    "model/optimizer/adam.yaml": ("eps:", "epsilon:", "model.optimizer.epsilon=1e-08", "model.optimizer.eps"),
    "trainer/default.yaml": ("precision: 32-true", "precisoin: 32-true", "trainer.precisoin='32-true'", "precision"),
    "data/mnist_5k.yaml": ("binarize: dynamic", "binarise: dynamic", "data.binarise='dynamic'", "data.binarize"),
    "callbacks/figures.yaml": (
        "num_pairs: 8",
        "num_pair: 8",
        "callbacks.figures.include.interpolations.num_pair=8",
        "num_pairs",
    ),
    "train.yaml": ("seed: 1 ", "sed: 1\nseed: 1 ", "sed=1", "seed"),
    "model/network/mlp.yaml": ("decoder:", "decodr:", "model.network.decodr=", "model.network.decoder"),
}


@pytest.mark.parametrize("file", IN_FILES)
def test_a_misspelling_in_a_file_is_named_with_the_file_and_the_nearest_name(file, tmp_path):
    old, new, key, suggestion = IN_FILES[file]
    folder = tmp_path / "conf"
    shutil.copytree(CONFIG_DIR, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    said = message(config_dir=folder)
    assert said.startswith(key)
    assert f"in conf/{file}" in said
    assert f"did you mean {suggestion}" in said or f".{suggestion}?" in said


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("model:\n  latnt_dim: 3\n", ("model.latnt_dim=3 in conf/experiment/mine.yaml", "model.latent_dim")),
        ("modle:\n  latent_dim: 3\n", ("modle={'latent_dim': 3} in conf/experiment/mine.yaml", "mean model?")),
        ("trainer:\n  max_epochs: many\n", ("trainer.max_epochs='many' in conf/experiment/mine.yaml", "whole number")),
        ("callbacks:\n  finl:\n    num_images: 9\n", ("conf/experiment/mine.yaml", "callbacks.final?")),
        ("defaults:\n  - override /model: vea\n", ("model/vea", "did you mean vae?")),
        ("model:\n  _target_: pmodel.models.vae.VEA\n", ("model._target_", "did you mean VAE?")),
        ("model:\n  latent_dim: ${model.latnt_dim}\n", ("latnt_dim",)),
        ("model:\n\tlatent_dim: 3\n", ("mine.yaml, line 3", "no YAML")),
        ("defaults:\n  - override /model: null\n", ("model is missing",)),
        ("resume: elsewhere\n", ("resume=elsewhere", "command line")),
    ],
)
def test_a_mistake_in_an_experiment_does_not_compose_silently(text, parts, tmp_path):
    folder = tmp_path / "conf"
    shutil.copytree(CONFIG_DIR, folder)
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\n" + text)
    said = message("experiment=mine", config_dir=folder)
    for part in parts:
        assert part in said


def test_a_users_own_folder_of_configs_is_checked_like_the_projects(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nmodel:\n  latnt_dim: 3\n")
    register_resolvers()
    with pytest.raises(ConfigError) as error:
        check_overrides("train", ["experiment=mine"], [CONFIG_DIR, tmp_path])
    assert f"model.latnt_dim=3 in {tmp_path.name}/experiment/mine.yaml" in str(error.value)
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nmodel:\n  latent_dim: 3\n")
    check_overrides("train", ["experiment=mine"], [CONFIG_DIR, tmp_path])


def test_an_experiment_without_its_package_line_is_told_so(tmp_path):
    folder = tmp_path / "conf"
    shutil.copytree(CONFIG_DIR, folder)
    (folder / "experiment" / "mine.yaml").write_text("model:\n  latent_dim: 3\n")
    assert "# @package _global_" in message("experiment=mine", config_dir=folder)


def test_options_may_stand_between_overrides():
    argv = checked_command_line("train", ["model=vae", "-m", "seed=1,2"])
    assert argv == ["-m", "model=vae", "seed=1,2"]


def test_a_known_argument_that_has_no_value_yet_needs_a_plus():
    assert "put a + in front" in message("model.optimizer.weight_decay=0.1")
    check_overrides("train", ["+model.optimizer.weight_decay=0.1"])


def test_the_command_line_ends_with_code_2_and_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        checked_command_line("train", ["model.latnt_dim=3"])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: model.latnt_dim=3: model has no 'latnt_dim'; did you mean model.latent_dim?\n"


@pytest.mark.parametrize(
    "argument",
    [
        *("--hlp", "resume=nowhere", "++resume=nowhere", "resume=", "seed", "model=null", "model/network=null"),
        *("~model", "~model.latent_dim", "~callbacks", "data=[digits,mnist]", "debug=null", "model.free_bits=[1"),
    ],
)
def test_other_mistakes_end_with_code_2_too(argument, capsys):
    with pytest.raises(SystemExit) as end:
        checked_command_line("train", [argument])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def group_options() -> list[str]:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        # What models bring along themselves is no one's choice.
        nested = [f"model/{g}" for g in loader.list_groups("model") if g not in ("training", "shared")]
        groups = [*GROUPS, *nested, "sweep", "hydra/launcher"]
        own = {str(f.relative_to(CONFIG_DIR).with_suffix("")) for f in CONFIG_DIR.rglob("*.yaml")} - {"sweep/wandb"}
        return [f"{g}={o}" for g in groups for o in loader.get_group_options(g) if f"{g}/{o}" in own]


# What an option leaves to the user.
NEEDED = {
    "data=image_folder": ["data.path=images.zip"],
    "data=table": ["data.path=points.csv"],
    "data=arrays": ["data.path=images.npy"],
    "data=huggingface": ["data.name=somebody/images"],
    "model/network=run": ["model.network.run=run"],
    "model/prior=run": ["model.prior.run=run"],
    **{f"model/encoder={encoder}": ["model=classifier"] for encoder in ("mlp", "conv")},
    "model/encoder=run": ["model=classifier", "model.encoder.run=run"],
    "experiment=few_labels_mnist": ["model.encoder.run=run"],
    "experiment=few_labels_conv_mnist": ["model.encoder.run=run"],
    **{f"model/players={players}": ["model=gan"] for players in ("mlp", "maxout", "dcgan", "resnet")},
}


@pytest.mark.parametrize("option", group_options())
def test_every_option_of_every_group_composes_and_passes_the_check(option, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.zip").touch()
    (tmp_path / "points.csv").write_text("1.5,2\n3,4\n5,6\n")
    np.save(tmp_path / "images.npy", np.zeros((3, 1, 2, 2), np.uint8))
    register_resolvers()
    monkeypatch.setattr("pmodel.config.early_checks.which", lambda name: name)  # sbatch
    check_overrides("train", [option, *NEEDED.get(option, [])], multirun=option.startswith("hydra/launcher"))


def test_every_yaml_file_is_an_option_of_a_group_or_a_top_level_config():
    options = {option.replace("=", "/") for option in group_options()}
    files = {str(f.relative_to(CONFIG_DIR).with_suffix("")) for f in CONFIG_DIR.rglob("*.yaml")}
    brought_along = {file for file in files if file.startswith(("model/training/", "model/shared/", "data/shared/"))}
    of_eval = {"eval", "hydra/eval", "metric/default", *(f"metric/features/{name}" for name in FEATURES)}
    # A file for W&B's own command, and a search, which needs something to search: tests/test_search.py.
    apart = {"sweep/wandb", "hydra/sweeper/optuna"}
    of_runs = {f"{folder}{name}" for folder in ("", "hydra/") for name in ("sample", "encode")}
    assert files - options == {"train", "hydra/default", *apart, *of_eval, *of_runs, *brought_along}


FEATURES = ("auto", "classifier", "inception")


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_network_composes(name):
    node = config("run=x", "cache_dir=null", f"metric/features={name}", name="eval")["metric"]["features"]
    assert node["kind"] == name


def test_the_model_gets_its_shapes_from_the_data():
    plain = config("data=mnist", "data.binarize=static")
    assert plain["model"]["data_shape"] == [1, 28, 28]
    assert plain["model"]["num_levels"] == 2
    assert plain["model"]["likelihood"] == "bernoulli"
    assert config("data=cifar10")["model"]["likelihood"] == "discretized_logistic"
    assert config("data=points")["model"]["likelihood"] == "gaussian"


def test_a_setting_of_answer_says_how_it_is_typed():
    with pytest.raises(ConfigError, match=r"^answer\.whiten=true: answer is typed whole: 'answer={whiten: true}'$"):
        check_overrides("eval", ["run=logs/x", "answer.whiten=true"])
