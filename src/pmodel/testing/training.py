"""What is expected of a model's training: its losses, its gradients, what it draws, and its checkpoints."""

import tempfile
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from pmodel.capabilities import Samples
from pmodel.data.batch import Batch
from pmodel.files.printable import first_line
from pmodel.nets.batch_share import share
from pmodel.testing.case import Case
from pmodel.testing.expect import expect, expect_finite, expect_shape, largest_difference
from pmodel.training.adversarial import AdversarialModule
from pmodel.training.gradient import GradientModule
from pmodel.training.streaming import StreamingModule

# Answers without noise, which a checkpoint must give as the model does.
ANSWERS = ("encode", "reconstruct", "assign", "classify", "log_prob", "log_prob_per_pixel")


def trained(model: Any, data: Any) -> Case:
    """The model after two steps on the CPU.

    Raises:
        AssertionError: of one line, if its losses are not of the form that training takes, or it can't be trained.
    """
    name = type(model).__name__
    if isinstance(model, GradientModule):
        _check_form(f"{name}.loss(batch) of 7 examples", model.loss(data.examples("train", 7)), 7)
    trainer = lightning.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(model, datamodule=data)
    except Exception as error:
        got = f"{type(error).__name__}: {first_line(error)}"
        raise AssertionError(f"{name}: expected two steps of training, got {got}") from error
    return Case(model.eval(), data, trainer)


def check_losses(case: Case) -> None:
    """Terms are finite, one number for each example, and have units."""
    model, batch = case.model, case.data.examples("train", 7)
    place = f"{case.name}.{'loss' if isinstance(model, GradientModule) else 'terms'}(batch) of 7 examples"
    terms = model.terms(batch)
    _check_form(place, terms, 7)
    for name, term in terms.items():
        expect_finite(f"{place}: {name}", term)
    if not isinstance(model, AdversarialModule):
        followed = model.monitor.partition("/")[2]
        expect(followed in terms, place, f"a term {followed!r}, which {case.name}.monitor names", _listed(terms))
    # What training alone can know, such as a sum over its examples, stands beside the terms.
    logged = {name.partition("/")[2] for name in case.trainer.callback_metrics if name.startswith("train/")}
    missing = {*terms, *logged} - {*model.units}
    expect(not missing, f"{case.name}.units", f"a unit of {_listed(missing)}", _listed(model.units))
    if isinstance(model, GradientModule):
        expect("loss" in terms, place, "a term 'loss', which training minimizes", _listed(terms))
        more = {*model.units} - {*terms}
        expect(not more, f"{case.name}.units", f"the terms of loss, {_listed(terms)}", f"{_listed(more)} besides")


def check_gradients(case: Case) -> None:
    """The loss has a gradient for every parameter; a model that is fitted by sums has no parameters."""
    model = case.model
    if isinstance(model, StreamingModule):
        own = [name for name, _ in model.named_parameters()]
        expect(not own, case.name, "no parameters, but float64 buffers, of a model without a gradient", _listed(own))
        return
    model.zero_grad()
    _loss_of(model, case.data.examples("train", 16)).backward()
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    without = [name for name, p in trainable.items() if p.grad is None or not p.grad.any()]
    model.zero_grad()
    where = "a gradient of every parameter (requires_grad=False for those that stay)"
    expect(not without, f"{case.name}.loss(batch)", where, f"none of {_listed(without)}")


def check_shares(case: Case) -> None:
    """Two devices with unequal shares of a batch have the losses of one device with all of it."""
    if not isinstance(case.model, GradientModule):
        return  # sums draw nothing; of games see tests/training/test_two_processes.py
    batch = case.data.examples("train", 9)

    def loss(first: int, count: int) -> Tensor:
        torch.manual_seed(0)
        part = Batch(batch.x[first : first + count], batch.label[first : first + count])
        with share(first, count, 9):
            return case.model.loss(part)["loss"].detach()

    case.model.train()
    parts, whole = torch.cat([loss(0, 5), loss(5, 4)]), loss(0, 9)
    case.model.eval()
    expect(
        torch.allclose(parts, whole, rtol=1e-4, atol=1e-4),
        f"{case.name}.loss(batch) of 9 examples",
        "the same losses on one device and on two (noise drawn by pmodel.nets.batch_share.own_share)",
        largest_difference(parts, whole),
    )


def check_checkpoint(case: Case) -> None:
    """A checkpoint of plain values builds the same model, with the same weights and the same answers."""
    model, x = case.model, case.examples(5)
    place = f"{case.name}.load_from_checkpoint(path, weights_only=True)"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ckpt"
        case.trainer.save_checkpoint(path)
        try:
            loaded = type(model).load_from_checkpoint(path, weights_only=True).eval()
        except Exception as error:
            got = f"{type(error).__name__}: {first_line(error)}"
            wanted = "the model (self.save_hyperparameters() in __init__, with plain numbers, texts, lists and dicts)"
            raise AssertionError(f"{place}: expected {wanted}, got {got}") from error
    weights, again = model.state_dict(), loaded.state_dict()
    expect([*weights] == [*again], place, f"the weights {_listed(weights)}", _listed(again))
    for name, weight in weights.items():
        expect(torch.equal(weight, again[name]), place, f"the same {name}", largest_difference(weight, again[name]))
    questions = [(name, (x,), None) for name in ANSWERS if hasattr(model, name)]
    questions += [("sample", (3,), 0)] if isinstance(model, Samples) else []
    for name, given, seed in questions:
        before, after = case.ask(name, *given, seed=seed), case.ask(name, *given, seed=seed, of=loaded)
        said = largest_difference(before, after)
        expect(torch.equal(before, after), case.place(name, *given), "the same answer of a checkpoint's model", said)


def _check_form(place: str, terms: Any, count: int) -> None:
    expect(isinstance(terms, dict), place, "a dict of named terms", type(terms).__name__)
    for name, term in terms.items():
        expect_shape(f"{place}: {name}", term, (count,))


def _loss_of(model: nn.Module, batch: Any) -> Tensor:
    """What training minimizes; of a game, the losses of both players."""
    if not isinstance(model, AdversarialModule):
        return model.loss(batch)["loss"].mean()
    codes = model.draw_codes(len(batch.x), batch.label)
    fake = model.score(model.generated(model.generator, codes), codes)
    return (model.objective.discriminator(model.score(batch.x, codes), fake) + model.objective.generator(fake)).mean()


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"
