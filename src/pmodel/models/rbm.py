"""Restricted Boltzmann machines (Hinton, Training Products of Experts by Minimizing Contrastive Divergence, 2002)."""

import math
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from pmodel.distributions.annealing import LogConstant
from pmodel.distributions.rbm import RestrictedBoltzmann, VisibleUnits
from pmodel.settings.ranges import Count, Counts, Two, Whole
from pmodel.training.gradient import GradientModule

# Of what estimates the normalizing constant: the same for all that ask.
SEED = 0


class RBM(GradientModule):
    """p(x) = Σ_h exp(−E(x, h)) / Z, with units as in `RestrictedBoltzmann`.

    The gradient of −log p(x) is that of F(x) − E_p F(v), where F is the free energy. In the place of draws v of the
    model come k steps of Gibbs sampling: from the batch itself (contrastive divergence, CD-k), or from `num_chains`
    chains that go on from step to step (persistent CD: Tieleman, Training Restricted Boltzmann Machines using
    Approximations to the Likelihood Gradient, 2008). The loss F(x) − F(v) is no likelihood: it has its gradient, and is
    0 on average once the model is that of the data.

    log p(x) is exact where a layer has at most 20 units, by a sum over all their states; else it is an estimate, by
    annealed importance sampling, whose error all examples share. Both are of levels for binary units, and a density for
    Gaussian ones.

    Args:
        hidden_dim: H.
        visible: `binary`, of data on two levels, or `gaussian`.
        num_gibbs_steps: k.
        num_chains: of persistent CD; 0: CD-k.
        num_sampling_steps: of Gibbs sampling, from visible units without weights, before a draw is given.
        annealing_chains, annealing_temperatures: of annealed importance sampling.
        init_size: training examples from which the visible biases start.
    """

    monitor = "val/nll"
    # States of chains have no average.
    averages_buffers = False
    # Energies are sums of hundreds of nats.
    needs_float32 = True
    units: ClassVar[dict[str, str]] = {"loss": "nats", "nll": "nats"}
    answer_settings = ("num_sampling_steps", "annealing_chains", "annealing_temperatures")

    def __init__(
        self,
        data_shape: Counts,
        num_levels: Two | None,
        hidden_dim: Count,
        visible: VisibleUnits,
        num_gibbs_steps: Count,
        num_chains: Whole,
        num_sampling_steps: Count,
        annealing_chains: Two,
        annealing_temperatures: Count,
        init_size: Count,
        **common: Any,
    ):
        super().__init__(**common)
        self.save_hyperparameters()
        if visible == "binary" and num_levels != 2:
            raise ValueError(
                f"model.visible=binary: expected data on two levels, and data.num_levels={num_levels or 'null'};"
                " add data.binarize=dynamic, or choose model.visible=gaussian"
            )
        if self.compile_networks:
            raise ValueError("model.compile=true: expected false; a Boltzmann machine has no network to compile")
        self.data_shape, self.continuous_density = torch.Size(data_shape), visible == "gaussian"
        D = math.prod(data_shape)
        self.network = RestrictedBoltzmann(D, hidden_dim, visible)
        self.register_buffer("chains", torch.zeros(num_chains, D))
        self.register_buffer("initialized", torch.tensor(False))
        self._log_constant: tuple[Any, LogConstant] | None = None
        if self.network.is_small:
            self.log_prob = self._log_prob
        else:
            self.log_prob_estimate = self._log_prob_estimate

    def on_fit_start(self) -> None:
        if self.device.type == "mps":
            raise ValueError("trainer.accelerator=mps: expected cpu or gpu; log Z needs float64")

    @torch.no_grad()
    def on_train_start(self) -> None:
        super().on_train_start()
        if not self.initialized:
            x = self.data.examples("train", self.hparams["init_size"], seed=SEED).x.to(self.device).flatten(1)
            self.network.start_from(x.mean(0), x.var(0, correction=0))
            self.chains.copy_(self.network.start(len(self.chains)))
            self.initialized.fill_(True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # The same on every device.
        with torch.no_grad():
            self.chains.copy_(self.network.gibbs(self.chains, self.hparams["num_gibbs_steps"]))

    def train(self, mode: bool = True) -> "RBM":
        # Training begins or ends; fused steps of an optimizer leave the versions of weights as they are.
        self._log_constant = None
        return super().train(mode)

    def loss(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        return {"loss": self.network.free_energy(x) - self._negative_phase(x)}

    def _negative_phase(self, x: Tensor) -> Tensor:
        """F of what stands for draws of the model: (B,), or () where there are chains."""
        if len(self.chains) == 0:
            with torch.no_grad():
                v = self.network.gibbs(x, self.hparams["num_gibbs_steps"], shared=True)
            return self.network.free_energy(v)
        return self.network.free_energy(self.chains).mean()

    def terms(self, batch: Any) -> dict[str, Tensor]:
        x = batch.x.flatten(1)
        nll = self.network.free_energy(x) + self.log_constant.value
        return {"nll": nll, **self.loss(batch)}

    @property
    def meanings(self) -> dict[str, str]:
        how = "−log p(x)" if self.network.is_small else "an estimate of −log p(x) by annealed importance sampling"
        return {"loss": "free energy of data less that of the chains, no likelihood", "nll": how}

    @property
    def log_constant(self) -> LogConstant:
        """log Z, exact or an estimate, always by the same noise; kept until the weights change."""
        chains, temperatures = self.hparams["annealing_chains"], self.hparams["annealing_temperatures"]
        key = (*(p._version for p in self.network.parameters()), chains, temperatures, self.device)
        if self._log_constant is None or self._log_constant[0] != key:
            if self.network.is_small:
                found = self.network.exact_log_constant()
            else:
                found = self.network.annealed_log_constant(chains, temperatures, Generator().manual_seed(SEED))
            self._log_constant = key, found
        return self._log_constant[1]

    @torch.no_grad()
    def unnormalized_log_prob(self, x: Tensor) -> Tensor:
        """−F(x) = log p(x) + log Z, nats, (B,)."""
        return -self.network.free_energy(x.flatten(1))

    @torch.no_grad()
    def _log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact, nats, (B,); of Gaussian units a density."""
        return self.unnormalized_log_prob(x) - self.log_constant.value

    def _log_prob_estimate(self, x: Tensor, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """An estimate of log p(x), nats, (B,), and its standard error, (), which all examples share. Its noise is
        always the same, whatever the generator."""
        value, error = self.log_constant
        log_p = self.unnormalized_log_prob(x) - value
        return log_p, log_p.new_tensor(error)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n draws, (n, …), each of a chain of its own; on Gaussian units they may leave [0, 1]."""
        v = self.network.gibbs(self.network.start(n, generator), self.hparams["num_sampling_steps"], generator)
        return v.view(n, *self.data_shape)

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x with new values where the boolean mask `known` (like x, or broadcast to it) is False, by Gibbs sampling in
        which known values stay: in the limit draws of p(hidden | known), wherever what is known stands."""
        known = known.to(x.device).expand_as(x).flatten(1)
        given = torch.where(known, x.flatten(1), 0)
        v = torch.where(known, given, self.network.start(len(x), generator))
        for _ in range(self.hparams["num_sampling_steps"]):
            v = torch.where(known, given, self.network.gibbs(v, 1, generator))
        return v.view_as(x)

    def features(self, x: Tensor) -> Tensor:
        """p(h = 1 | x), (B, H), with its gradients."""
        return self.network.hidden_logits(x.flatten(1)).sigmoid()

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """p(h = 1 | x), (B, H)."""
        return self.features(x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | h] of hidden units, or of their probabilities, z (B, H), like examples (B, …)."""
        return self.network.visible_mean(z).view(-1, *self.data_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x | h] at the probabilities of h given x."""
        return self.decode(self.encode(x))
