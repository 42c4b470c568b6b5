"""Training by a game: k steps of a discriminator on real and generated examples, then one of a generator."""

from abc import abstractmethod
from collections.abc import Iterable
from copy import deepcopy
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from lightning.pytorch import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from pmodel.nets.batch_share import own_share
from pmodel.nets.normalization import batch_statistics
from pmodel.settings.ranges import Count, Decay, NonNegative, Positive
from pmodel.training.averaging import decay_at, move_average
from pmodel.training.epoch_means import EpochMeans
from pmodel.training.health import ADVICE, GameHealth
from pmodel.training.measured import MeasuredModule
from pmodel.training.objectives import OBJECTIVES, Minimax, ObjectiveName
from pmodel.training.penalties import full_precision, gradient_penalty, r1_penalty
from pmodel.training.players import PLAYERS, Optimizers, Schedules, scheduled
from pmodel.training.schedules import LearningRates


class AdversarialModule(MeasuredModule):
    """A generator and a discriminator in turn: algorithm 1 of Generative Adversarial Nets (2014, arXiv 1406.2661).

    Each batch of real examples is one discriminator step, with as many generated from fresh noise; after every k-th
    comes one generator step on fresh noise, which sees no data. The count within k goes on over epochs, and is part of
    a checkpoint. `global_step`, `trainer.max_steps`, checkpoints, loggers and progress count the batches.

    Subclasses set `generator` and `discriminator`, and say what codes are, how examples come of them, and what D's
    score of an example is.

    Args:
        optimizer, schedule: of each player.
        objective: see `pmodel.training.objectives`.
        num_discriminator_steps: k, how many the discriminator takes before one of the generator.
        label_smoothing: ε, see `Objective`.
        weight_clip: c: after each of its steps the critic of `wasserstein` is clipped to weights in [−c, c].
        gradient_penalty: λ: weight of the penalty of `wasserstein_gp`.
        r1: γ: adds γ/2 ‖∇D(x)‖² at real examples to any objective.
        instance_noise: σ of the Gaussian noise, on the data's own scale, that real and generated examples get before
            the discriminator sees them in training, so that neither lie on a surface that it could know them by
            (Sønderby et al., 2017, arXiv 1610.04490; Arjovsky & Bottou, 2017, arXiv 1701.04862).
        ema_decay: averages the generator's weights after each of its steps, w̄ ← d w̄ + (1 − d) w, where d rises to
            this decay over the first steps; validation and samples use the averages. None: off.
        ema_rampup: how slowly d rises: the averages reach over at most this share of the steps so far.
        compile: runs torch.compile on both networks when training starts; not on a discriminator with a penalty, since
            what it compiles has no second derivatives.
    """

    # A GAN's losses don't say how good it is.
    monitor = "val/frechet"
    headline = ("discriminator_loss", "generator_loss")
    advice = ADVICE["diverged"]
    # What stands in one panel of the curves.
    panels: ClassVar[dict[str, tuple[str, ...]]] = {
        "D(x) and D(G(z)), means": ("d_real", "d_fake"),
        "norms of the gradients": ("discriminator_gradient", "generator_gradient"),
    }

    generator: nn.Module
    discriminator: nn.Module

    def __init__(
        self,
        optimizer: Optimizers,
        schedule: Schedules,
        objective: ObjectiveName,
        num_discriminator_steps: Count,
        label_smoothing: Annotated[float, Ge(0), Lt(0.5)],
        weight_clip: Positive,
        gradient_penalty: NonNegative,
        r1: NonNegative,
        instance_noise: NonNegative,
        ema_decay: Decay | None,
        ema_rampup: Annotated[float, Gt(0), Le(1)],
        compile: bool,
    ):
        super().__init__()
        self.automatic_optimization = False
        if label_smoothing and not OBJECTIVES[objective].takes_smoothing:
            names = ", ".join(name for name, kind in OBJECTIVES.items() if kind.takes_smoothing)
            raise ValueError(f"model.label_smoothing={label_smoothing}: expected 0, or model.objective one of {names}")
        self.objective_name, self.objective = objective, OBJECTIVES[objective](label_smoothing)
        self.optimizer_config, self.scheduled = optimizer, scheduled(schedule, num_discriminator_steps)
        self.num_discriminator_steps, self.weight_clip = num_discriminator_steps, weight_clip
        self.penalty_weight = gradient_penalty if objective == "wasserstein_gp" else 0.0
        self.r1, self.instance_noise, self.compile_networks = r1, instance_noise, compile
        self.ema_decay, self.ema_rampup = ema_decay, ema_rampup
        # Set from the trainer's settings of that name, which Lightning refuses under manual optimization.
        self.gradient_clip_val: float | None = None
        self.gradient_clip_algorithm: Literal["norm", "value"] | None = None
        # Means over the steps of the generator, whose number is another than the discriminator's.
        self.generator_means = EpochMeans()
        self.averaged_generator: nn.Module | None = None
        self.discriminator_steps = 0  # since the last generator step
        self.generator_steps = 0
        self._gradient_norm: Tensor | None = None
        self.health = GameHealth()
        unit, verdict = self.objective.unit, "probability" if issubclass(OBJECTIVES[objective], Minimax) else "score"
        self.units = {
            "frechet": "distance of features",
            "discriminator_loss": unit,
            "generator_loss": unit,
            "d_real": f"D(x), {verdict}",
            "d_fake": f"D(G(z)), {verdict}",
            "discriminator_gradient": "norm",
            "generator_gradient": "norm",
            "gradient_penalty": "(‖∇D‖ − 1)²",
            "r1": "½ ‖∇D(x)‖²",
        }

    @abstractmethod
    def draw_codes(self, n: int, label: Tensor | None = None) -> Tensor:
        """n fresh codes (n, D); of a class-conditional model with these labels (n,), or with labels drawn too.

        Raises:
            ValueError: if the model is told the labels, and one of them is missing.
        """

    @abstractmethod
    def generated(self, network: nn.Module, codes: Tensor) -> Tensor:
        """Examples (n, …) that the generator `network` makes of codes (n, D), with gradients."""

    @abstractmethod
    def score(self, x: Tensor, codes: Tensor, full_precision: bool = False) -> Tensor:
        """D(x), before any σ, (B,); of a class-conditional model for the labels that are part of the codes."""

    @property
    def evaluated_generator(self) -> nn.Module:
        """The generator that samples come from; the averaged one, if there is one."""
        return self.generator if self.averaged_generator is None else self.averaged_generator

    def start_average(self) -> None:
        """To be called once the generator is built."""
        if self.ema_decay is not None:
            self.averaged_generator = deepcopy(self.generator).requires_grad_(False)

    def compiled(self) -> Iterable[nn.Module]:
        penalized = self.penalty_weight > 0 or self.r1 > 0
        return (network for name, network in self.named_children() if name != "discriminator" or not penalized)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        discriminator_optimizer, generator_optimizer = self.optimizers()
        batch = self.step_batch(batch)
        with self.share_of(batch):
            terms = self._discriminator_step(batch, discriminator_optimizer)
        self.train_means.update(terms)
        self.discriminator_steps += 1
        if self.discriminator_steps == self.num_discriminator_steps:
            self.discriminator_steps = 0
            with self.share_of(batch):
                generator_terms = self._generator_step(batch, generator_optimizer)
            self.generator_means.update(generator_terms)
            terms |= generator_terms
        self.last_terms |= terms
        # The discriminator's step is counted by now.
        self.log_step(self.global_step - 1, *(f"{player}_lr" for player in PLAYERS))

    def _discriminator_step(self, batch: Any, optimizer: LightningOptimizer) -> dict[str, Tensor]:
        with self.toggled_optimizer(optimizer):
            x, codes = self._noisy(batch.x), self.draw_codes(len(batch.x), batch.label)
            with torch.no_grad():
                fake = self._noisy(self.generated(self.generator, codes))
            terms = self._discriminator_terms(self.score(x, codes), self.score(fake, codes))
            loss = self.device_mean(terms["discriminator_loss"], batch)
            if self.penalty_weight:
                u = own_share(lambda n: torch.rand(n, device=self.device), len(x))
                terms["gradient_penalty"] = gradient_penalty(lambda x: self.score(x, codes, True), x, fake, u)
                loss = loss + self.penalty_weight * self.device_mean(terms["gradient_penalty"], batch)
            if self.r1:
                terms["r1"] = r1_penalty(lambda x: self.score(x, codes, True), x)
                loss = loss + self.r1 * self.device_mean(terms["r1"], batch)
            self.check_loss(loss, terms)
            self._backward(loss, optimizer)
            optimizer.step()
        # Here, not in a hook of the batch's end: a checkpoint may be written before that.
        self._step_schedule("discriminator", "step")
        if self.objective_name == "wasserstein":
            with torch.no_grad():
                torch._foreach_clamp_min_(list(self.discriminator.parameters()), -self.weight_clip)
                torch._foreach_clamp_max_(list(self.discriminator.parameters()), self.weight_clip)
        terms["discriminator_gradient"] = self._gradient_norm.expand(len(x))
        return {name: term.detach() for name, term in terms.items()}

    def _generator_step(self, batch: Any, optimizer: LightningOptimizer) -> dict[str, Tensor]:
        n = len(batch.x)
        with self.toggled_optimizer(optimizer):
            codes = self.draw_codes(n)
            fake = self._noisy(self.generated(self.generator, codes))
            term = self.objective.generator(self.score(fake, codes))
            loss = self.device_mean(term, batch)
            self.check_loss(loss, {"generator_loss": term})
            self._backward(loss, optimizer)
            # Not by the optimizer's own `step`, which adds to `global_step`.
            self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None)
        self.generator_steps += 1
        self._step_schedule("generator", "step")
        if self.averaged_generator is not None:
            decay = decay_at(self.generator_steps, self.ema_decay, self.ema_rampup)
            move_average(self.averaged_generator, self.generator, decay)
        return {"generator_loss": term.detach(), "generator_gradient": self._gradient_norm.expand(n)}

    def _noisy(self, x: Tensor) -> Tensor:
        """Examples (B, …) as the discriminator sees them in training."""
        if not self.instance_noise:
            return x
        noise = own_share(lambda n: torch.randn(n, *x.shape[1:], device=x.device, dtype=x.dtype), len(x))
        return x + self.instance_noise * noise

    def _backward(self, loss: Tensor, optimizer: LightningOptimizer) -> None:
        optimizer.zero_grad()
        # Outside of the step's autocast, which would narrow the products of a penalty's double backward.
        with full_precision(self.device):
            self.manual_backward(loss)

    def _discriminator_terms(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {
            "discriminator_loss": self.objective.discriminator(real, fake),
            "d_real": self.objective.verdict(real),
            "d_fake": self.objective.verdict(fake),
        }

    def terms(self, batch: Any) -> dict[str, Tensor]:
        """Both losses and D's verdicts on examples it has not seen, with what samples come from."""
        with batch_statistics(self.discriminator):
            codes = self.draw_codes(len(batch.x), batch.label)
            real = self.score(batch.x, codes)
            fake = self.score(self.generated(self.evaluated_generator, codes), codes)
        return {**self._discriminator_terms(real, fake), "generator_loss": self.objective.generator(fake)}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Measures and clips gradients: here they are free of the loss scale of `16-mixed`."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._gradient_norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.gradient_clip_val and self.gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(parameters, self.gradient_clip_val)
        elif self.gradient_clip_val:
            nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip_val, self._gradient_norm)

    def configure_optimizers(self) -> list[dict[str, Any]]:
        fused = self.trainer.precision != "16-mixed"
        return [
            scheduled.with_optimizer(self.optimizer_config[player], getattr(self, player).parameters(), fused)
            for player, scheduled in zip(PLAYERS, self.scheduled, strict=True)
        ]

    def configure_callbacks(self) -> list[Callback]:
        return [LearningRates(self.scheduled)]

    def _step_schedule(self, player: str, interval: str) -> None:
        """Steps a player's schedule if its interval is this: Lightning leaves it alone under manual optimization."""
        schedule = self.trainer.lr_scheduler_configs[PLAYERS.index(player)]
        if schedule.interval == interval:
            schedule.scheduler.step()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.trainer.is_last_batch:
            return
        self.health.note(self.log_means("train", self.train_means), self.objective, self.global_step)
        of_generator, count = self.generator_means.compute(self.sum_over_devices)
        self.generator_means.reset()
        self.check_values(of_generator)
        self.log_epoch("train", of_generator)
        self.counts |= {f"train/{name}": count for name in of_generator}

    def on_train_epoch_end(self) -> None:
        self._step_schedule("discriminator", "epoch")
        if self.generator_steps > 0:
            self._step_schedule("generator", "epoch")

    def concerns(self) -> dict[str, str]:
        real = self.data.examples("train", GameHealth.NUM_EXAMPLES).x.to(self.device)
        generator = torch.Generator(self.device).manual_seed(0)
        return self.health.concerns(real, self.sample(len(real), generator=generator))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["game"] = {
            "discriminator_steps": self.discriminator_steps,
            "generator_steps": self.generator_steps,
            "generator_means": self.states_of(self.generator_means),
            # A step that is logged shows the generator's last one, which may have been before this checkpoint.
            "last_values": self.step_values(self.last_terms) if self.last_terms else {},
            "health": self.health.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        game = checkpoint["game"]
        self.discriminator_steps, self.generator_steps = game["discriminator_steps"], game["generator_steps"]
        self.last_terms = {k: torch.tensor([v], dtype=torch.float64) for k, v in game["last_values"].items()}
        self.health.load_state_dict(game["health"])
        self.generator_means.load_state_dict(self.own_state(game["generator_means"]))
