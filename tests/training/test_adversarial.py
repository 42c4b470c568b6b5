"""The game: who is stepped when, what the steps see, what a step counts, and what a checkpoint keeps."""

from copy import deepcopy

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import Logger
from support import StopAt, build, config, fit
from torch.func import functional_call

from pmodel.callbacks.resume import ExactResume
from pmodel.commands.strategies import adapted
from pmodel.training.adversarial import AdversarialModule
from pmodel.training.objectives import OBJECTIVES

SMALL = [
    "model=gan",
    "data.limit=96",
    "data.batch_size=16",
    "model.latent_dim=3",
    "model.players.generator.hidden_dims=[16]",
    "model.players.discriminator.hidden_dims=[16]",
    "model.r1=0",
    "model/schedule@model.schedule.generator=constant",
    "model/schedule@model.schedule.discriminator=constant",
]


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


class Moves(lightning.pytorch.Callback):
    """Which players each batch has moved."""

    def __init__(self):
        self.moves = []

    def on_train_batch_start(self, trainer, module, *args):
        self.before = weights(module.discriminator), weights(module.generator)

    def on_train_batch_end(self, trainer, module, *args):
        after = weights(module.discriminator), weights(module.generator)
        self.moves.append(tuple(not torch.equal(a, b) for a, b in zip(self.before, after, strict=True)))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_batch_moves_the_discriminator_and_every_kth_the_generator_across_epochs(k):
    moves = Moves()
    model, data = build(*SMALL, f"model.num_discriminator_steps={k}")
    trainer = fit(model, data, max_epochs=3, callbacks=[moves])
    assert moves.moves == [(True, (i + 1) % k == 0) for i in range(18)]
    assert trainer.global_step == 18
    assert model.generator_steps == 18 // k


def spied(model: AdversarialModule, seen: list) -> None:
    """Notes what the discriminator is shown, and which player's step it is."""
    score = model.score

    def spy(x, codes, full_precision=False):
        player = "discriminator" if next(model.discriminator.parameters()).requires_grad else "generator"
        seen.append((player, x.detach().clone(), codes.clone(), x.requires_grad))
        return score(x, codes, full_precision)

    model.score = spy


@pytest.mark.parametrize("k", [1, 2])
def test_steps_see_fresh_noise_each_and_every_real_example_once(k):
    model, data = build(*SMALL, f"model.num_discriminator_steps={k}")
    seen, given = [], []
    spied(model, seen)

    watch = LambdaCallback(on_train_batch_start=lambda trainer, module, batch, batch_idx: given.append(batch.x))
    fit(model, data, max_epochs=1, limit_val_batches=0, callbacks=[watch])
    real = [x for player, x, _, _ in seen if player == "discriminator"][::2]
    assert all(torch.equal(a, b) for a, b in zip(real, given, strict=True))
    everything = torch.cat(real).flatten(1)
    expected = data.examples("train", 96).x.flatten(1)
    assert sorted(everything.tolist()) == sorted(expected.tolist())
    # Real examples share the codes' labels with their generated counterparts, so the first of each pair is skipped.
    codes = [c for player, _, c, _ in seen if player == "discriminator"][1::2]
    codes += [c for player, _, c, _ in seen if player == "generator"]
    assert len(codes) == 6 + 6 // k
    assert len(torch.cat(codes).unique(dim=0)) == 16 * len(codes)


def test_discriminator_step_sends_no_gradient_to_the_generator_and_the_generator_is_shown_no_data():
    model, data = build(*SMALL)
    seen = []
    spied(model, seen)
    fit(model, data, max_epochs=1, limit_val_batches=0)
    assert not any(has_gradient for player, *_, has_gradient in seen if player == "discriminator")
    shown = [(x, codes, has_gradient) for player, x, codes, has_gradient in seen if player == "generator"]
    assert len(shown) == 6
    assert all(has_gradient for *_, has_gradient in shown)
    # Other data change what a generator sees only through the discriminator; one that does not learn stays the same.
    ends = []
    for seed in (0, 1):
        lightning.seed_everything(0, verbose=False)
        model, data = build(*SMALL, "model.optimizer.discriminator.lr=0", f"data.seed={seed}")
        fit(model, data, max_epochs=1)
        ends.append(weights(model.generator))
    assert torch.equal(*ends)


def test_instance_noise_is_on_all_that_the_discriminator_sees_in_training_and_on_nothing_else():
    model, data = build(*SMALL, "model.instance_noise=0.2", "model.num_discriminator_steps=2")
    seen, given, noise = [], [], {"real": [], "generated": []}
    spied(model, seen)

    class Watch(lightning.pytorch.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            given.append(batch.x)
            before.append(deepcopy(module.generator))

    before = []
    fit(model, data, max_epochs=1, limit_val_batches=0, callbacks=[Watch()])
    shown = iter(seen)
    for i, (x, network) in enumerate(zip(given, before, strict=True)):
        noise["real"].append(next(shown)[1] - x)
        for _ in range(1 + i % 2):  # the discriminator's step, and in each second batch the generator's
            _, fake, codes, _ = next(shown)
            noise["generated"].append((fake - model.generated(network, codes)).detach())
    for kind, parts in noise.items():
        n = torch.stack(parts)
        assert n.mean().abs() < 0.01, kind
        assert 0.19 < n.std() < 0.21, kind
        assert len(n.flatten(1).unique(dim=0)) == len(parts), kind
    seen.clear()
    batch = data.examples("validation", 16)
    model.terms(batch)
    assert torch.equal(seen[0][1], batch.x)


@pytest.mark.parametrize(("objective", "r1"), [*((name, 0) for name in OBJECTIVES), ("hinge", 3)])
def test_one_step_of_each_player_is_that_of_its_formula(objective, r1):
    """Against a plain loop with autograd on the same noise."""
    overrides = [f"model.objective={objective}", "model.gradient_penalty=10", "model.ema_decay=null"]
    overrides += [f"model/optimizer@model.optimizer.{player}=sgd" for player in ("generator", "discriminator")]
    overrides += [f"model.optimizer.{player}.momentum=0" for player in ("generator", "discriminator")]
    lightning.seed_everything(0, verbose=False)
    model, data = build(*SMALL, *overrides, "model.weight_clip=0.2", f"model.r1={r1}")
    G, D = (
        {n: p.detach().clone() for n, p in net.named_parameters()} for net in (model.generator, model.discriminator)
    )
    trained, state = model, {}

    watch = LambdaCallback(
        on_train_batch_start=lambda trainer, module, batch, batch_idx: state.update(
            rng=torch.get_rng_state(), x=batch.x
        )
    )
    fit(trained, data, max_steps=1, callbacks=[watch])
    torch.set_rng_state(state["rng"])
    x = state["x"]

    def generate(parameters, z):
        x = 0.5 + 0.5 * functional_call(model.generator, parameters, (z,)).tanh()
        return x + ((16 * x).round() / 16 - x).detach()

    def score(parameters, x):
        return functional_call(model.discriminator, parameters, (2 * x - 1,))[:, 0]

    def stepped(parameters, loss):
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        return {n: p.detach() - 1e-2 * g for (n, p), g in zip(parameters.items(), gradients, strict=True)}

    def with_gradients(parameters):
        return {name: p.detach().clone().requires_grad_() for name, p in parameters.items()}

    rule = OBJECTIVES[objective]()
    fake = generate(G, torch.randn(16, 3))
    D = with_gradients(D)
    loss = rule.discriminator(score(D, x), score(D, fake)).mean()
    if objective == "wasserstein_gp":
        u = torch.rand(16).view(16, 1, 1, 1)
        between = (x + u * (fake - x)).requires_grad_()
        (slope,) = torch.autograd.grad(score(D, between).sum(), between, create_graph=True)
        loss = loss + 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    if r1:
        (slope,) = torch.autograd.grad(score(D, x.requires_grad_()).sum(), x, create_graph=True)
        loss = loss + r1 / 2 * slope.flatten(1).square().sum(1).mean()
    D = stepped(D, loss)
    if objective == "wasserstein":
        assert max(p.abs().max() for p in D.values()) > 0.2
        D = {name: p.clamp(-0.2, 0.2) for name, p in D.items()}
    G = with_gradients(G)
    G = stepped(G, rule.generator(score(D, generate(G, torch.randn(16, 3)))).mean())
    for network, expected in ((trained.discriminator, D), (trained.generator, G)):
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter.detach(), expected[name], msg=lambda m, n=name: f"{n}: {m}")


def test_real_and_generated_examples_are_judged_under_the_labels_of_the_batch():
    model, data = build(*SMALL, "model.class_conditional=true")
    shown, score = [], model.score
    model.score = lambda x, codes, *rest: shown.append(codes) or score(x, codes, *rest)

    class Labels(lightning.pytorch.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.label = batch.label

    labels = Labels()
    fit(model, data, max_steps=1, limit_val_batches=0, callbacks=[labels])
    for codes in shown[:2]:
        assert torch.equal(codes[:, model.latent_dim :].argmax(1), labels.label)


class History(lightning.pytorch.Callback):
    """What each epoch has logged."""

    def __init__(self):
        self.epochs = {}

    def on_train_epoch_end(self, trainer, module):
        self.epochs[trainer.current_epoch] = {name: value.item() for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("stop_at", [6, 8])
@pytest.mark.parametrize(
    "extra",
    [
        ["model.objective=wasserstein_gp"],
        [
            "model.players.discriminator._target_=pmodel.nets.maxout.MaxoutEncoder",
            "~model.players.discriminator.activation",
        ],
        ["model/schedule@model.schedule.generator=cosine", "model.spectral_norm=true", "model.objective=hinge"],
        ["model.class_conditional=true", "data.binarize=dynamic"],
        [
            *(f"model/schedule@model.schedule.{player}=exponential" for player in ("generator", "discriminator")),
            *(f"model.schedule.{player}.interval=step" for player in ("generator", "discriminator")),
        ],
    ],
    ids=lambda e: e[0],
)
def test_a_run_stopped_inside_k_and_resumed_ends_bit_identical(stop_at, extra, tmp_path):
    """4 epochs of 6 batches with k = 5, against a stop after 6 (an epoch's end, 2 within k) or 8 and a resume."""

    settings = [*SMALL, *extra, "model.num_discriminator_steps=5"]

    def start(*callbacks):
        lightning.seed_everything(3, verbose=False)
        return fit(*build(*settings), max_epochs=4, callbacks=[ExactResume(), *callbacks])

    whole = start(history := History())
    with pytest.raises(InterruptedError):
        start(StopAt(stop_at, tmp_path / "stop.ckpt"))
    lightning.seed_everything(99, verbose=False)
    torch.randn(5)
    model, data = build(*settings)
    again = History()
    resumed = fit(model, data, tmp_path / "stop.ckpt", max_epochs=4, callbacks=[ExactResume(), again])
    assert resumed.global_step == whole.global_step == 24
    assert model.generator_steps == whole.lightning_module.generator_steps == 4
    ends = whole.lightning_module.state_dict(), model.state_dict()
    for (name, a), b in zip(ends[0].items(), ends[1].values(), strict=True):
        assert torch.equal(a, b), name
    # Of the epoch in which it was stopped, too.
    assert again.epochs == {epoch: history.epochs[epoch] for epoch in again.epochs}
    assert list(again.epochs) == [1, 2, 3]


class Steps(Logger):
    """The steps at which anything was logged."""

    name = version = "steps"

    def __init__(self):
        super().__init__()
        self.steps = []

    def log_hyperparams(self, *args):
        pass

    def log_metrics(self, metrics, step):
        self.steps.append((step, sorted(name for name in metrics if name.startswith("step/"))))


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")
def test_a_step_is_a_batch_for_max_steps_checkpoints_and_loggers(tmp_path):
    """Guards what the generator's step relies on: Lightning counts calls of `LightningOptimizer.step` alone."""
    model, data = build(*SMALL, "model.num_discriminator_steps=5")
    logger, moves = Steps(), Moves()
    checkpoints = lightning.pytorch.callbacks.ModelCheckpoint(
        tmp_path, "{step:03d}", every_n_train_steps=10, save_top_k=-1, auto_insert_metric_name=False
    )
    trainer = lightning.Trainer(
        max_steps=20,
        accelerator="cpu",
        logger=logger,
        callbacks=[moves, checkpoints],
        log_every_n_steps=5,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    assert len(moves.moves) == trainer.global_step == 20
    assert model.generator_steps == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["010.ckpt", "020.ckpt"]
    # Counted from 0, as Lightning's loggers do.
    assert [step for step, names in logger.steps if names] == [4, 9, 14, 19]
    # What an epoch's end logs stands in the same count.
    assert {step for step, names in logger.steps if not names} <= {5, 11, 17, 19}


def test_schedules_count_the_steps_of_their_own_player():
    model, data = build(
        *SMALL,
        "model.num_discriminator_steps=3",
        *(f"model/schedule@model.schedule.{player}=exponential" for player in ("generator", "discriminator")),
        *(f"model.schedule.{player}.scheduler.gamma=0.5" for player in ("generator", "discriminator")),
        "model.schedule.generator.interval=step",
    )
    trainer = fit(model, data, max_epochs=2)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
    assert rates == pytest.approx([1e-3 * 0.5**2, 1e-3 * 0.5**4])


def fitted(*overrides, **settings):
    """As train.py does: the trainer's settings are adapted to the model."""
    model, data = build(*SMALL, *overrides)
    own = config(*SMALL, *overrides)["trainer"] | settings
    keep = {name: own[name] for name in settings if name not in ("gradient_clip_val", "gradient_clip_algorithm")}
    changed = adapted(model, own)
    before = weights(model)
    fit(model, data, **keep, **changed)
    return weights(model) - before


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_of_both_players_are_clipped_within_the_step(precision):
    sgd = [f"model/optimizer@model.optimizer.{p}=sgd" for p in ("generator", "discriminator")]
    sgd += [f"model.optimizer.{p}.{s}" for p in ("generator", "discriminator") for s in ("momentum=0.0", "lr=1.0")]
    clipped = fitted(*sgd, "model.ema_decay=null", max_steps=1, gradient_clip_val=1e-3, precision=precision)
    # Both have moved by 1e-3.
    assert clipped.norm().item() == pytest.approx(1e-3 * 2**0.5, rel=1e-2)
    clip = {"gradient_clip_val": 1e-5, "gradient_clip_algorithm": "value"}
    assert fitted(*sgd, "model.ema_decay=null", max_steps=1, **clip).abs().max() == pytest.approx(1e-5, rel=1e-2)


def test_several_devices_get_a_strategy_that_allows_players_without_gradients():
    model, _ = build(*SMALL)
    trainer = config(*SMALL)["trainer"]
    assert adapted(model, trainer)["strategy"] == "auto"
    assert adapted(model, trainer | {"devices": 2})["strategy"] == "ddp_find_unused_parameters_true"
    with pytest.raises(ValueError, match=r"trainer.strategy=fsdp: expected a model that is trained by one gradient"):
        adapted(model, trainer | {"devices": 2, "strategy": "fsdp"})


def test_averaged_generator_follows_the_formula_and_is_the_one_that_samples():
    settings = ["model.ema_decay=0.6", "model.ema_rampup=0.5", "model.num_discriminator_steps=2"]
    model, data = build(*SMALL, *settings)
    average, history = weights(model.averaged_generator), []

    watch = LambdaCallback(on_train_batch_end=lambda trainer, module, *args: history.append(weights(module.generator)))
    fit(model, data, max_epochs=1, callbacks=[watch])
    for n, generator in enumerate(history[1::2], 1):
        decay = min(0.6, (1 + n) / (3 + n))
        average = decay * average + (1 - decay) * generator
    torch.testing.assert_close(weights(model.averaged_generator), average)
    assert not torch.equal(weights(model.averaged_generator), weights(model.generator))
    z = model.sample_latents(4)
    averaged = 0.5 + 0.5 * model.averaged_generator(z).tanh()
    assert (model.decode(z) - averaged).abs().max() <= 0.5 / 16 + 1e-6
    assert not any(p.requires_grad for p in model.averaged_generator.parameters())


def test_batch_normalization_of_the_averaged_generator_has_the_statistics_of_the_generator():
    model, data = build("model=dcgan", "data.limit=64", "data.batch_size=32", "model.ema_decay=0.9")
    fit(model, data, max_epochs=1)
    buffers = dict(model.generator.named_buffers())
    assert any("running_mean" in name for name in buffers)
    for name, buffer in model.averaged_generator.named_buffers():
        assert torch.equal(buffer, buffers[name])


def test_validation_judges_with_batch_statistics_and_leaves_the_averages_alone():
    model, data = build("model=dcgan", "model.data_shape=[1,16,16]", "data.limit=64")
    before = {name: buffer.clone() for name, buffer in model.discriminator.named_buffers()}
    small = data.examples("train", 20)
    x = small._replace(x=small.x.repeat(1, 1, 2, 2))
    model.eval()
    in_eval = model.terms(x)["d_real"]
    assert not model.discriminator.training
    for name, buffer in model.discriminator.named_buffers():
        assert torch.equal(buffer, before[name])
    model.train()
    codes = model.draw_codes(len(x.x), x.label)
    torch.testing.assert_close(in_eval, model.score(x.x, codes).sigmoid())


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true", "bf16-true"])
@pytest.mark.parametrize("objective", ["wasserstein_gp", "non_saturating"])
def test_every_precision_trains(precision, objective):
    model, data = build(*SMALL, f"model.objective={objective}", "model.r1=1", "model.num_discriminator_steps=2")
    trainer = fit(model, data, precision=precision, max_epochs=1)
    assert all(value.isfinite() for value in trainer.callback_metrics.values())
    expected = {"bf16-true": torch.bfloat16, "64-true": torch.float64}.get(precision, torch.float32)
    assert {p.dtype for p in model.parameters()} == {expected}
    assert model.sample(2).isfinite().all()


def test_no_backward_pass_is_under_autocast():
    """It would narrow the products of a penalty's second derivatives."""
    model, data = build(*SMALL, "model.objective=wasserstein_gp")
    found, backward = [], model.manual_backward

    def watched(loss):
        found.append((torch.is_autocast_enabled("cpu"), loss.dtype))
        backward(loss)

    model.manual_backward = watched
    fit(model, data, precision="bf16-mixed", max_steps=2)
    assert set(found) == {(False, torch.float32)}
    assert len(found) == 4


def test_what_concerns_a_game_has_is_part_of_its_checkpoint():
    model, _ = build(*SMALL)
    model.health.batches, model.health.since = 700, {"settled": 200}
    checkpoint = {}
    model.on_save_checkpoint(checkpoint)
    other, _ = build(*SMALL)
    other.on_load_checkpoint(checkpoint)
    assert (other.health.batches, other.health.since) == (700, {"settled": 200})


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches=2: expected 1 with a GAN"),
        ({"devices": 2, "strategy": "ddp"}, "trainer.strategy=ddp: expected auto"),
    ],
)
def test_trainer_settings_that_a_game_can_not_have_are_named(setting, said):
    model, _ = build(*SMALL)
    with pytest.raises(ValueError, match=r"\A" + said.replace(".", r"\.")):
        adapted(model, config(*SMALL)["trainer"] | setting)


def test_a_generator_that_has_no_step_yet_keeps_its_schedule():
    schedules = [f"model/schedule@model.schedule.{player}=exponential" for player in ("generator", "discriminator")]
    model, data = build(*SMALL, *schedules, "model.num_discriminator_steps=10")
    trainer = fit(model, data, max_epochs=1)
    assert [c.scheduler.last_epoch for c in trainer.lr_scheduler_configs] == [1, 0]


def test_epoch_means_are_over_the_steps_of_each_player():
    model, data = build(*SMALL, "model.num_discriminator_steps=2", "model.optimizer.discriminator.lr=0")
    losses = []
    step = model._generator_step

    def watched(*args):
        terms = step(*args)
        losses.append(terms["generator_loss"].mean().item())
        return terms

    model._generator_step = watched
    trainer = fit(model, data, max_epochs=1)
    assert len(losses) == 3
    assert trainer.callback_metrics["train/generator_loss"].item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert set(trainer.callback_metrics) >= {"train/d_real", "train/d_fake", "train/generator_gradient"}


def test_label_smoothing_is_part_of_the_loss_and_refused_where_it_means_nothing():
    model, data = build(*SMALL, "model.label_smoothing=0.1")
    x = data.examples("train", 8)
    plain, _ = build(*SMALL)
    plain.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    smoothed = model.terms(x)
    torch.manual_seed(0)
    hard = plain.terms(x)
    logit = torch.logit(hard["d_real"])
    torch.testing.assert_close(smoothed["discriminator_loss"], hard["discriminator_loss"] + 0.1 * logit)
    with pytest.raises(
        ValueError, match=r"\Amodel\.label_smoothing=0\.1: expected 0, or model\.objective one of minimax"
    ):
        build(*SMALL, "model.label_smoothing=0.1", "model.objective=hinge")
