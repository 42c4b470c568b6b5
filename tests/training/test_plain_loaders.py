"""Each model in a plain `lightning.Trainer`, with plain loaders of tensors: no data module, no callback of ours."""

import lightning
import pytest
import torch
from support import ROOT, digits_for, fit
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from pmodel import build
from pmodel.data.batch import Batch, as_step_batch

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
# Advice of Lightning's on loaders, and on how often it logs.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:Trying to infer the `batch_size`"),
]


class Alone(Dataset):
    """Examples without labels."""

    def __init__(self, x: torch.Tensor):
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.x[index]


class Stream(IterableDataset):
    """Examples without a length."""

    def __init__(self, x: torch.Tensor):
        self.x = x

    def __iter__(self):
        return iter(self.x)


@pytest.fixture(scope="module")
def digits() -> Batch:
    return build("data=digits").examples("train", 96)


def trained(model: lightning.LightningModule, *loaders: DataLoader, **settings):
    trainer = lightning.Trainer(
        **{"max_epochs": 2, "accelerator": "cpu", "logger": False, "num_sanity_val_steps": 0, **settings},
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, *loaders)
    return model, trainer


@pytest.mark.parametrize("name", MODELS)
def test_each_model_trains_on_pairs_of_examples_and_labels(name: str, digits: Batch):
    points = name == "flow"  # it takes no images
    loader = DataLoader(TensorDataset(digits.x.flatten(1) if points else digits.x, digits.label), batch_size=48)
    words = ["data=points", "model.data_shape=[64]"] if points else digits_for(f"model={name}")
    model, trainer = trained(build(f"model={name}", *words), loader, loader)
    assert model.fitted
    assert {"train", "val"} <= {key.partition("/")[0] for key in trainer.callback_metrics}


@pytest.mark.parametrize("dataset", [Alone, Stream])
@pytest.mark.parametrize("name", ["vae", "dcgan", "kmeans", "pca_gmm", "kde", "pixelcnn"])
def test_a_model_trains_on_examples_alone(name: str, dataset: type[Dataset], digits: Batch):
    model, trainer = trained(build(f"model={name}", "data=digits"), DataLoader(dataset(digits.x), batch_size=48))
    assert model.fitted
    assert trainer.current_epoch >= 1


def test_a_fit_is_the_same_with_a_plain_loader_as_with_a_data_module(digits: Batch):
    for name in ("pca", "gaussian", "kde"):
        data = build("data=digits", limit=96, batch_size=48)
        ours = build(f"model={name}", "data=digits")
        lightning.seed_everything(0, verbose=False)
        fit(ours, data)
        x = data.examples("train", 96).x
        lightning.seed_everything(0, verbose=False)
        plain, _ = trained(build(f"model={name}", "data=digits"), DataLoader(Alone(x), batch_size=32))
        torch.testing.assert_close(plain.log_prob(x), ours.log_prob(x), rtol=1e-6, atol=1e-5, msg=name)


def test_a_strangers_batch_is_read_or_refused_in_one_line():
    x, label = torch.rand(4, 3), torch.arange(4)
    assert as_step_batch(x).label.tolist() == [-1] * 4
    assert as_step_batch([x, label.int()]).label.dtype == torch.int64
    second = as_step_batch((x, label), rank=1, world_size=2)
    assert (second.first, second.total) == (4, 8)
    for wrong in ({"x": x}, [x, label, label], "x", [], 3):
        with pytest.raises(TypeError, match="a batch: expected a tensor x, or a pair"):
            as_step_batch(wrong)
    with pytest.raises(TypeError, match="expected x of floating point, such as images in"):
        as_step_batch((255 * x).byte())
    for wrong in (label[:, None], label.float(), label[:3]):
        with pytest.raises(TypeError, match=r"expected labels \[4\] of whole numbers"):
            as_step_batch((x, wrong))


@pytest.mark.parametrize("name", ["kmeans", "pca", "kde", "classifier"])
def test_what_a_sampler_leaves_out_is_never_seen(name: str, digits: Batch):
    """The other half of the data set is far off."""
    x = torch.cat([digits.x, digits.x + 100])
    data = TensorDataset(x, torch.cat([digits.label, digits.label]))
    loader = DataLoader(data, batch_size=48, sampler=SubsetRandomSampler(range(len(digits.x))))
    model, _ = trained(build(f"model={name}", "data=digits"), loader)
    seen = {"kmeans": lambda: model.starts, "pca": lambda: model.axes.mean, "kde": lambda: model.examples / 16}
    values = seen.get(name, lambda: model.feature_mean)()
    assert values.abs().max() <= (1 if name != "classifier" else 5)


def test_the_validation_loader_may_stand_in_a_list(digits: Batch):
    loader = DataLoader(TensorDataset(digits.x, digits.label), batch_size=48)
    _, trainer = trained(build("model=classifier", "data=digits"), loader, [loader])
    assert "val/accuracy" in trainer.callback_metrics


def test_a_data_module_of_ones_own_may_have_any_attributes(digits: Batch):
    class Own(lightning.LightningDataModule):
        examples = (1, 2)

        def train_dataloader(self) -> DataLoader:
            return DataLoader(Alone(digits.x), batch_size=48)

    for name in ("vae", "kmeans"):
        trained(build(f"model={name}", "data=digits"), Own())


def test_labels_that_are_missing_are_said_before_the_first_step(digits: Batch):
    with pytest.raises(ValueError, match="expected a label of each example"):
        trained(build("model=classifier", "data=digits"), DataLoader(Alone(digits.x), batch_size=48))
