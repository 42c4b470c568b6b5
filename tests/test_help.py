"""`--help`: each setting of what is chosen, with its default, its type and range, and its meaning."""

import re

import pytest
from support import CONFIG_DIR, config

from pmodel.commands.command_line import checked_command_line
from pmodel.config.help import help_texts, options, settings
from pmodel.config.resolvers import register_resolvers
from pmodel.config.tree import ConfigError

# What has to be chosen for an option to be one.
BELOW = {"model/encoder": ["model=classifier"], "model/players": ["model=gan"]}
GROUPS = ["model", "data", "model/network", "model/prior", "model/optimizer", "model/schedule", *BELOW]
OPTIONS = [f"{group}={file.stem}" for group in GROUPS for file in sorted((CONFIG_DIR / group).glob("*.yaml"))]


def rows(*overrides: str, name: str = "train") -> dict[str, tuple[str, str]]:
    """`key=value`: the type in words, and the meaning."""
    register_resolvers()
    return {line: (words, meaning) for line, words, meaning in settings(name, list(overrides), [CONFIG_DIR])}


@pytest.mark.parametrize("option", OPTIONS)
def test_each_setting_of_each_option_has_a_type_in_words_and_a_meaning(option):
    listed = rows(option, *BELOW.get(option.partition("=")[0], []))
    for line, (words, meaning) in listed.items():
        assert words not in ("", "settings of its own"), line
        assert meaning, line


def leaves(node: dict, path: str) -> set[str]:
    found = set()
    for name, child in node.items():
        found |= leaves(child, f"{path}.{name}") if isinstance(child, dict) else {f"{path}.{name}"}
    return {key for key in found if not key.endswith("._target_")}


@pytest.mark.parametrize("option", ["model=vae", "model=gan", "model=gmm", "model=classifier", "data=points"])
def test_no_setting_of_the_model_the_data_and_the_trainer_is_left_out(option):
    composed = config(option)
    expected = set.union(*(leaves(composed[part], part) for part in ("model", "data", "trainer")))
    assert expected <= {line.partition("=")[0] for line in rows(option)}


def test_each_setting_of_an_evaluation_has_a_type_in_words_and_a_meaning():
    listed = rows(name="eval")
    assert listed["run=???"][0] == "a text or a list of texts"
    assert listed["metric.samples.k_precision_recall=3"][0] == "a whole number, at least 1"
    assert all(words and meaning for words, meaning in listed.values())


def test_each_setting_of_sampling_has_a_type_in_words_and_a_meaning():
    listed = rows(name="sample")
    assert listed["n=???"][0] == "a whole number, at least 1"
    assert listed["classes=null"][0] == "all, a list of whole numbers, each at least 0, or null"
    keys = {"run", "n", "out", "classes", "seed", "answer", "data_dir", "data.path"}
    assert {line.partition("=")[0] for line in listed} == keys | {"trainer.accelerator", "trainer.devices"}
    assert all(words and meaning for words, meaning in listed.values())


def test_a_value_is_the_composed_one_as_it_is_typed():
    listed = rows("model=vae_2d", "data=points", "model.beta=2")
    assert listed["model.latent_dim=2"] == ("a whole number, at least 1", "size of the code")
    for line in ("model.beta=2", "model.likelihood=gaussian", "model.data_shape=[2]", "model.ema_decay=null"):
        assert line in listed
    assert {"data.path=???", "data.shape=???"} <= rows("data=table").keys()
    assert "model.latent_dim=3" in rows("model=vae,gan", "model.latent_dim=3,4")


@pytest.mark.parametrize("typed", ["model.latnt_dim=3", "model=vea", "model.latent_dim=0", "seed", "--hlp", "~model"])
def test_a_mistake_is_refused_as_without_help(typed, capsys):
    said = []
    for more in ([], ["--help"]):
        with pytest.raises(SystemExit) as end:
            checked_command_line("train", [typed, *more])
        assert end.value.code == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert said[0].count("\n") == 1


def test_a_mistake_in_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nmodel:\n  latent_dim: few\n")
    register_resolvers()
    with pytest.raises(ConfigError, match=r"^model.latent_dim='few' in .*mine.yaml: expected a whole number"):
        help_texts("train", ["experiment=mine"], [CONFIG_DIR, tmp_path])


def test_hydra_prints_it_after_its_own_help(train):
    outcome = train("model=vae", "model.latent_dim=5", "--help")
    assert outcome.code == 0, outcome.err
    groups, settings_of_it = outcome.out.split("\nSettings")
    assert groups.partition("Examples")[2].count("  pmodel train") == 3
    assert len(groups.splitlines()) < 100
    assert max(map(len, groups.partition("Groups")[0].splitlines())) <= 120
    lines = groups.splitlines()
    for name, meaning in options("model", [CONFIG_DIR]).items():
        assert f"  {name:<20}  {meaning}" in lines
    chosen = [line.split()[0].partition("=")[0] for line in groups.partition("most often")[2].splitlines()[2:15]]
    assert {"trainer.max_epochs", "data.batch_size", "trainer.devices", "seed", "logger", "resume", "check"} < set(
        chosen
    )
    assert {f"  {name}=" for name in chosen} <= {line.partition("=")[0] + "=" for line in lines}
    for part in (
        "model: autoencoder, bernoulli_mixture, classifier, dcgan",
        "data: ",
        "digits",
        "debug: ",
        "experiment: ",
    ):
        assert part in groups
    (line,) = (line for line in settings_of_it.splitlines() if "model.latent_dim=5 " in line)
    assert re.fullmatch(r"  model.latent_dim=5 +a whole number, at least 1 +size of the code", line)


def test_each_model_has_a_line():
    assert all(options("model", [CONFIG_DIR]).values())
    assert "" not in options("data", [CONFIG_DIR]).values()


def test_a_setting_that_is_not_there_is_left_out_and_a_group_is_shown_as_chosen(tmp_path):
    register_resolvers()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# A model of one's own.\ndefaults: [pca]\n")
    texts = help_texts("train", ["model=pca", "logger=none", "seed=3"], [CONFIG_DIR, tmp_path])
    shown = texts["settings_help"]("seed", "model.beta", "logger").splitlines()
    assert [line.split()[0] for line in shown] == ["seed=3", "logger=none"]
    assert "  mine                  A model of one's own." in texts["options_help"]("model").splitlines()
