"""Parts of a model: built from their settings, or the model of a finished run."""

from typing import Any, Literal, NotRequired, TypedDict

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from pmodel.capabilities import Encodes, LogProb, Samples, TrainableFeatures
from pmodel.instantiate import instantiate, trusted_class
from pmodel.nets.precision import in_own_dtype, upcast
from pmodel.runs.saved import find_run, read_checkpoint, read_config
from pmodel.settings.ranges import Counts

Mode = Literal["scratch", "probe", "fine_tune"]


class Network(TypedDict):
    """The two networks of an autoencoder, as dicts with a `_target_`."""

    encoder: dict
    decoder: dict


class NetworkOrRun(TypedDict):
    """The same, or the run that they are taken from."""

    encoder: NotRequired[dict]
    decoder: NotRequired[dict]
    run: NotRequired[str]


def build_part(
    node: dict[str, Any], place: str, weights: bool = True, any_units: bool = True, **sizes: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """A part, and the dict from which a checkpoint builds it again, without the run that it may come from.

    Args:
        node: a dict with a `_target_`, or with `run`: a run directory, or a checkpoint in one, whose model is the part.
        place: the setting as a user types it, for messages.
        weights: whether the model of a run has that run's weights, or random ones.
        any_units: whether that run may have standardized its data, or taken an origin off.
        sizes: what the part is told where it is not a model.

    Raises:
        ValueError: of one line, if there is no such run, or its files are not whole.
    """
    if "run" not in node:
        return instantiate(node, **({} if is_model(node) else sizes)), node
    settings, state, units = read_run(node["run"], place)
    if not any_units and (any(units.get("origin", [])) or any(scale != 1 for scale in units.get("scale", []))):
        raise ValueError(f"{place}: expected a run with data.standardize=false, whose model has the units of the codes")
    part = instantiate(settings)
    if weights:
        part.load_state_dict(state)
        if not getattr(part, "fitted", True):
            raise ValueError(
                f"{place}: expected a model that is fitted, and the run was cut before its first epoch ended"
            )
    return part, settings


def is_model(node: dict[str, Any]) -> bool:
    """Whether a dict with a `_target_` describes a model, as it does once the model was read from a run."""
    return issubclass(trusted_class(node["_target_"]), LightningModule)


def read_run(run: str, place: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, list[float]]]:
    """The model of a run as a dict with a `_target_`, its weights, of best.ckpt, or last.ckpt if there is no best, and
    the units of its data where these are not the model's: see `InMemoryDataModule.units`.

    run: a run directory, or a checkpoint in the checkpoints/ of one

    Raises:
        ValueError: of one line, if there is no such run, or its files are not whole.
    """
    if not isinstance(run, str) or not run:
        raise ValueError(f"{place}: expected a run directory, or a checkpoint in one")
    found = find_run(run, place)
    target = read_config(found.folder, place, ("model",))["model"]["_target_"]
    content = read_checkpoint(found.checkpoint, place)
    trusted_class(target, LightningModule)
    units = next((kept["units"] for kept in content.values() if isinstance(kept, dict) and kept.get("units")), {})
    return {**content["hyper_parameters"], "_target_": target}, content["state_dict"], units


def build_prior(node: dict[str, Any], latent_dim: int) -> tuple[nn.Module, dict[str, Any]]:
    """p(z) of codes (B, latent_dim), a module with `log_prob` and `sample`; what `build_part` gives besides. The model
    of a run keeps its weights.

    Raises:
        ValueError: of one line, if a run's model is no density of such codes.
    """
    place = f"model.prior.run={node.get('run')}"
    prior, kept = build_part(node, place, any_units=False, latent_dim=latent_dim)
    if not is_model(kept):
        return prior, kept
    name, shape = type(prior).__name__, list(getattr(prior, "data_shape", []))
    is_density = isinstance(prior, LogProb) and isinstance(prior, Samples) and not getattr(prior, "no_density", None)
    if not is_density:
        raise ValueError(f"{place}: expected a model with a density that draws samples, and {name} is none")
    if shape != [latent_dim]:
        raise ValueError(f"{place}: expected a model of codes [{latent_dim}] (model.latent_dim), and it is of {shape}")
    with torch.enable_grad():
        if not prior.log_prob(torch.zeros(1, latent_dim, requires_grad=True)).requires_grad:
            raise ValueError(f"{place}: expected a model whose log_prob has a gradient, and that of {name} has none")
    return prior.eval().requires_grad_(False), kept


def build_networks(
    network: NetworkOrRun, of_encoder: dict[str, Any], of_decoder: dict[str, Any]
) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    """An encoder and a decoder of the sizes that are given, and the dicts from which a checkpoint builds them again;
    from a run with its weights.

    Raises:
        ValueError: of one line, if the run's model has no such networks.
    """
    place, weights = f"model.network.run={network.get('run')}", {}
    if "run" in network:
        settings, weights, _ = read_run(network["run"], place)
        network = settings.get("network", {})
        if not network.keys() >= {"encoder", "decoder"}:
            raise ValueError(f"{place}: expected a model with an encoder and a decoder, as autoencoder and vae have")
    networks = instantiate(network["encoder"], **of_encoder), instantiate(network["decoder"], **of_decoder)
    for name, module in zip(("encoder", "decoder"), networks, strict=True) if weights else ():
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if {key: value.shape for key, value in own.items()} != {k: v.shape for k, v in module.state_dict().items()}:
            raise ValueError(
                f"{place}: its {name} is of another size; expected the run's data, model.likelihood and"
                " model.latent_dim"
            )
        module.load_state_dict(own)
    return *networks, network


class Encoder(nn.Module):
    """A network as a model whose features are its outputs."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def features(self, x: Tensor) -> Tensor:
        """The outputs (B, D), with their gradients."""
        return upcast(in_own_dtype(self.network, x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The outputs (B, D)."""
        return self.features(x)


def build_encoder(
    node: dict[str, Any], data_shape: Counts, latent_dim: int, mode: Mode
) -> tuple[nn.Module, dict[str, Any], int]:
    """A part that encodes, in eval mode; what `build_part` gives besides; and the number of its features, D.

    Gradients are off for all that the features don't depend on, such as a decoder, and in `probe` for everything.

    Raises:
        ValueError: of one line, if a run's model has no features, or none of examples of that shape, or none to train.
    """
    place, sizes = f"model.encoder.run={node.get('run')}", {"data_shape": data_shape, "num_outputs": latent_dim}
    model, node = build_part(node, place, weights=mode != "scratch", **sizes)
    model = model if is_model(node) else Encoder(model)
    name, shape = type(model).__name__, getattr(model, "data_shape", data_shape)
    if not isinstance(model, Encodes):
        raise ValueError(f"{place}: expected a model that can encode, and {name} can't")
    if tuple(shape) != tuple(data_shape):
        raise ValueError(f"{place}: expected data.shape={list(shape)}, on which it was trained, not {list(data_shape)}")
    if mode != "probe" and not isinstance(model, TrainableFeatures):
        raise ValueError(f"model.mode={mode}: expected probe, since {name} has no gradients ({place})")
    model.eval()
    parameters = list(model.parameters())
    with torch.enable_grad():
        z = (model.features if isinstance(model, TrainableFeatures) else model.encode)(torch.zeros(2, *data_shape))
        reached = torch.autograd.grad(z.sum(), parameters, allow_unused=True) if z.requires_grad else parameters
    for parameter, gradient in zip(parameters, reached, strict=True):
        parameter.requires_grad_(mode != "probe" and gradient is not None)
    return model, node, z.shape[1]
