"""The classifier: what its modes train, what they leave alone, and that its checkpoint needs nothing else."""

import math
import shutil
from pathlib import Path

import lightning
import pytest
import torch
from support import build
from torch import nn

from pmodel.instantiate import instantiate
from pmodel.models.classifier import Classifier
from pmodel.nets.standardized import SMALLEST_SHARE

DATA = ["data=digits", "data.limit=64", "data.batch_size=32"]
SMALL = [
    "model.network.encoder.hidden_dims=[16]",
    "model.network.decoder.hidden_dims=[16]",
    "model.latent_dim=5",
]


def fitted(*overrides: str, steps: int = 3):
    """A model after a few steps, its data module and the trainer."""
    lightning.seed_everything(0, verbose=False)
    model, data = build(*DATA, *overrides)
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    return model, data, trainer


def write_run(folder: Path, *overrides: str) -> Path:
    """A run directory as train.py leaves it, as far as its model is concerned."""
    model, _, trainer = fitted(*overrides)
    trainer.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    target = f"{type(model).__module__}.{type(model).__qualname__}"
    (folder / "config.yaml").write_text(f"model:\n  _target_: {target}\npaths:\n  run_dir: ???\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "vae": write_run(root / "vae", "model=vae", *SMALL),
        "autoencoder": write_run(root / "autoencoder", "model=autoencoder", *SMALL),
        "kmeans": write_run(root / "kmeans", "model=kmeans"),
        "pca": write_run(root / "pca", "model=pca"),
    }


def classifier(features: Path, mode: str, *overrides: str, steps: int = 3):
    typed = ["model=classifier", "model/encoder=run", f"model.encoder.run={features}", f"model.mode={mode}", *overrides]
    return fitted(*typed, steps=steps)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("name", ["vae", "autoencoder", "kmeans", "pca"])
def test_a_probed_encoder_is_that_of_the_run_bit_by_bit_after_training(runs, name):
    overrides = ["model.ema_decay=0.9"] if name == "vae" else []
    model, _, _ = classifier(runs[name], "probe", *overrides)
    for key, value in weights(runs[name]).items():
        assert torch.equal(model.encoder.state_dict()[key], value), key
    assert not model.encoder.training
    assert model.head.training
    assert all(not p.requires_grad and p.grad is None for p in model.encoder.parameters())
    assert model.num_parameters == model.head.weight.numel() + model.head.bias.numel()


@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_fine_tuning_starts_from_the_run_and_changes_its_encoder_alone(runs, name):
    before, _ = build("model=classifier", "model/encoder=run", f"model.encoder.run={runs[name]}", *DATA)
    assert before.hparams["mode"] == "fine_tune"
    after, _, _ = classifier(runs[name], "fine_tune")
    for key, value in weights(runs[name]).items():
        assert torch.equal(before.encoder.state_dict()[key], value), key
        assert torch.equal(after.encoder.state_dict()[key], value) == key.startswith("decoder."), key


def test_scratch_with_features_has_the_architecture_of_the_run_and_other_weights(runs):
    scratch, _ = build(
        "model=classifier", "model/encoder=run", f"model.encoder.run={runs['vae']}", "model.mode=scratch", *DATA
    )
    tuned, _ = build(
        "model=classifier", "model/encoder=run", f"model.encoder.run={runs['vae']}", "model.mode=fine_tune", *DATA
    )
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (scratch, tuned)]
    assert shapes[0] == shapes[1]
    assert not torch.equal(scratch.encoder.encoder.net[0].weight, tuned.encoder.encoder.net[0].weight)
    assert scratch.num_parameters == tuned.num_parameters


@pytest.mark.parametrize(("name", "mode"), [("vae", "fine_tune"), ("autoencoder", "scratch"), ("kmeans", "probe")])
def test_checkpoint_needs_neither_the_run_nor_its_config(runs, name, mode, tmp_path):
    run = shutil.copytree(runs[name], tmp_path / "run")
    model, data, trainer = classifier(run, mode)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    shutil.rmtree(run)
    loaded = Classifier.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True).eval()
    x = data.examples("validation", 9).x
    assert torch.equal(loaded.classify(x), model.eval().classify(x))
    assert torch.equal(loaded.encode(x), model.encode(x))
    # A probe can be continued as well: what is frozen stays so.
    assert loaded.num_parameters == model.num_parameters


def test_a_checkpoint_file_stands_for_its_run(runs):
    path = runs["vae"] / "checkpoints" / "best.ckpt"
    model, _ = build("model=classifier", "model/encoder=run", f"model.encoder.run={path}", *DATA)
    assert torch.equal(model.encoder.encoder.net[0].weight, weights(runs["vae"])["encoder.net.0.weight"])


def test_loss_is_the_cross_entropy_and_accuracy_the_share_that_classify_gets_right(runs):
    model, data, _ = classifier(runs["pca"], "probe", "model.dropout=0", "model.label_smoothing=0.1")
    batch = data.examples("validation", 50)
    model.eval()
    p = model.classify(batch.x)
    torch.testing.assert_close(p.sum(1), torch.ones(50))
    terms = model.loss(batch)
    torch.testing.assert_close(terms["loss"], -p[torch.arange(50), batch.label].log())
    assert torch.equal(terms["accuracy"], (p.argmax(1) == batch.label).float())
    assert model.loss(batch)["loss"].mean() != model.train().loss(batch)["loss"].mean()


def test_features_have_mean_0_and_deviation_1_on_the_training_examples(runs):
    for name, overrides in (("vae", []), ("kmeans", []), ("pca", ["model.ema_decay=0.9"])):
        model, data, _ = classifier(runs[name], "probe", *overrides)
        z = model.encode(data.examples("train", 1000).x)
        torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=1e-4, rtol=0)
        std = model.feature_std
        varies = std > 1.01 * std.min()
        torch.testing.assert_close(z.std(0, correction=0)[varies], torch.ones(int(varies.sum())), atol=1e-4, rtol=0)


def test_features_that_hardly_vary_are_not_blown_up():
    class Features(nn.Module):
        data_shape = torch.Size([3])

        def encode(self, x):
            return x * torch.tensor([1.0, 1e-20, 0.0])

    model, _ = build("model=classifier", *DATA)
    model.encoder = Features()
    model.feature_mean, model.feature_std = torch.zeros(3), torch.ones(3)
    model.standardize(torch.randn(100, 3))
    assert model.feature_std[1].item() == pytest.approx(SMALLEST_SHARE * model.feature_std[0].item() / math.sqrt(3))
    model.standardize(torch.ones(100, 3))
    assert torch.equal(model.feature_std, torch.ones(3))


def test_a_probe_of_principal_components_is_logistic_regression(runs):
    """Against scikit-learn without a penalty, on separable points: both get every training example right."""
    from sklearn.linear_model import LogisticRegression

    overrides = ["model.dropout=0", "model.optimizer.lr=0.05", "model.optimizer.weight_decay=0", "data.limit=256"]
    model, data, _ = classifier(runs["pca"], "probe", *overrides, steps=400)
    batch, held_out = data.examples("train", 256), data.examples("validation", 250)
    model.eval()
    z, other = model.encode(batch.x).numpy(), model.encode(held_out.x).numpy()
    regression = LogisticRegression(C=10, max_iter=2000).fit(z, batch.label.numpy())
    expected = regression.score(other, held_out.label.numpy())
    assert (model.classify(batch.x).argmax(1) == batch.label).float().mean() > 0.99
    assert model.loss(held_out)["accuracy"].mean().item() == pytest.approx(expected, abs=0.05)


def refusal(*overrides: str) -> str:
    with pytest.raises(ValueError, match="model") as error:
        fitted("model=classifier", *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.num_classes=null"],
            "model=classifier: expected data.num_classes, the number of labels, and it is null",
        ),
        (
            ["model.num_classes=5"],
            "model.num_classes=5: expected more, since there is a training example of class 9, counted from 0",
        ),
    ],
)
def test_wrong_settings_are_named(overrides, message):
    assert refusal(*overrides) == message


def test_data_without_labels_are_refused_in_one_line(tmp_path):
    (tmp_path / "points.csv").write_text("".join(f"{i},{i}\n" for i in range(40)), encoding="utf-8")
    typed = ["data=table", f"data.path={tmp_path}/points.csv", "model.num_classes=3"]
    with pytest.raises(ValueError, match="expected a label of each example, and 0 of 32 training examples have one"):
        fitted_on_other_data(*typed)


def fitted_on_other_data(*overrides: str) -> None:
    model, data = build("model=classifier", *overrides)
    trainer = lightning.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(model, datamodule=data)


def test_runs_that_do_not_fit_are_refused(runs, tmp_path):
    for mode in ("scratch", "fine_tune"):
        message = refusal("model/encoder=run", f"model.encoder.run={runs['kmeans']}", f"model.mode={mode}")
        assert message == (
            f"model.mode={mode}: expected probe, since KMeans has no gradients (model.encoder.run={runs['kmeans']})"
        )
    with pytest.raises(ValueError, match=r"expected data\.shape=\[1, 8, 8\], on which it was trained, not \[2\]"):
        build("model=classifier", "model/encoder=run", f"model.encoder.run={runs['vae']}", "data=points")
    place = f"model.encoder.run={tmp_path}"
    assert refusal("model/encoder=run", f"model.encoder.run={tmp_path}") == (
        f"{place}: expected a run directory or a checkpoint in one, but there is no {tmp_path}/config.yaml"
    )
    (tmp_path / "config.yaml").write_text("model:\n  _target_: pmodel.models.vae.VAE\n", encoding="utf-8")
    best = tmp_path / "checkpoints" / "best.ckpt"
    assert (
        refusal("model/encoder=run", f"model.encoder.run={tmp_path}")
        == f"{place}: there is no checkpoint in it yet (expected {best})"
    )
    best.parent.mkdir()
    best.write_bytes(b"half a file")
    assert refusal("model/encoder=run", f"model.encoder.run={tmp_path}").startswith(
        f"{place}: {best} is no whole checkpoint of a model"
    )


def test_a_target_outside_the_project_is_never_built(runs, tmp_path):
    run = shutil.copytree(runs["vae"], tmp_path / "run")
    (run / "config.yaml").write_text("model:\n  _target_: os.system\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"_target_=os\.system"):
        build("model=classifier", "model/encoder=run", f"model.encoder.run={run}", *DATA)
    with pytest.raises(ValueError, match=r"_target_=os\.system"):
        instantiate({"_target_": "os.system"})
