"""Inception v3, the network on whose features and classes published Fréchet distances and Inception Scores rest."""

from http.client import HTTPException
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from pmodel.features.extractor import FeatureExtractor
from pmodel.features.tensor_files import DAMAGE, sha256
from pmodel.files.foreign import regular

NAME = "Inception v3"
# Images that pass through the network at once: on one core 98 ms each in parts of 8 or 16, 106 ms in parts of 32.
PART = 16
# How the SHA-256 of torch-fidelity's file begins, as its name says.
HASH = "6726825d"


def inception_extractor(weights: Path | str | None = None, cache_dir: Path | None = None) -> FeatureExtractor:
    """The network of 2015-12-05 from images (B, 1 or 3, H, W) in [0, 1] to 2048 features and 1008 classes, on the CPU
    (Szegedy et al.: Rethinking the Inception architecture for computer vision, 2015, arXiv 1512.00567).

    Layers, resizer and weights are torch-fidelity's, converted from TensorFlow's: the features are its "2048", the
    logits its "logits_unbiased". Images are rounded to bytes; one channel is taken three times. Features of an image
    that is not finite are NaN. The global random state is left alone.

    Args:
        weights: a file with torch-fidelity's weights. None: it is looked for in `cache_dir` under the name that
            torch-fidelity gives it, and downloaded there if it is missing.
        cache_dir: None: where PyTorch and torch-fidelity keep what they download.
    """
    if find_spec("torch_fidelity") is None:
        raise ValueError(
            "metric/features=inception: needs pmodel[inception], which is not installed: pip install"
            " 'pmodel[inception]'; metric/features=classifier does without"
        )
    if weights is None:
        network = _kept_or_downloaded(cache_dir)
    else:
        try:
            network = Inception(_tensors(Path(weights).expanduser()))
        except ValueError as error:
            raise ValueError(f"metric.features.weights={weights}: {error}") from None
    resizer = f"bilinear as in TensorFlow 1, 299×299 (torch-fidelity {version('torch-fidelity')})"
    return FeatureExtractor(NAME, network, network.head, resizer=resizer, hash=network.hash, part=PART)


def check_shape(shape: tuple[int, ...]) -> None:
    """ValueError for examples that Inception can't see."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        kind = "images" if len(shape) == 3 else "points"
        raise ValueError(f"metric/features=inception: expected images with 1 or 3 channels, got {kind} of {shape}")


class Inception(nn.Module):
    """From images (B, 1 or 3, H, W), float in [0, 1], to features (B, 2048), float32.

    Batch norms are folded into the convolutions before them, and images lie with their channels last: together these
    halve the time on a CPU (from 200 to 100 ms for an image on one core), and move features by 1e-5 of their size.

    head: from features to logits (B, 1008), without the bias.
    hash: of the weights as the file has them.

    Args:
        weights: what the file holds, by name; ValueError if it is not what torch-fidelity's network has.
    """

    def __init__(self, weights: dict[str, Tensor]):
        from torch.nn.utils.fusion import fuse_conv_bn_eval
        from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

        super().__init__()
        # torch-fidelity unpickles whatever its file holds, so it gets one that is written here. On this device its
        # layers draw no random weights, which takes seconds and the global random state, and have no memory.
        shapes = BytesIO()
        torch.save({name: tensor.to("meta") for name, tensor in weights.items()}, shapes)
        shapes.seek(0)
        with torch.device("meta"):
            try:
                network = FeatureExtractorInceptionV3(NAME, ["2048"], shapes)
            except RuntimeError as error:
                raise ValueError(
                    f"expected the tensors of torch-fidelity's network: {_one_line(error)[:200]} …"
                ) from None
            self.head = nn.Linear(network.fc.in_features, network.fc.out_features, bias=False)
        network.load_state_dict(weights, assign=True)
        if not all(weight.is_floating_point() and weight.isfinite().all() for weight in network.parameters()):
            raise ValueError("expected weights that are finite floating-point numbers")
        network.float()
        self.hash = sha256(*network.state_dict().values())[:12]
        for layer in network.modules():
            if isinstance(layer, BasicConv2d):
                layer.conv, layer.bn = fuse_conv_bn_eval(layer.conv, layer.bn), nn.Identity()
        self.head.weight = network.fc.weight
        del network.fc
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(tuple(x.shape[1:]))
        images = in_bytes(x).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        (features,) = self.network(images)
        return features.masked_fill(~x.flatten(1).isfinite().all(1, keepdim=True), torch.nan)


def in_bytes(x: Tensor) -> Tensor:
    """Images, float in [0, 1], clamped and rounded to uint8; NaN becomes 0."""
    return (x.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)


def _kept_or_downloaded(cache_dir: Path | None) -> Inception:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as URL

    folder = Path(torch.hub.get_dir()) / "checkpoints" if cache_dir is None else Path(cache_dir).expanduser()
    file = folder / Path(URL).name
    try:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            print(f"Inception's weights: downloading {URL} to {folder}", flush=True)
            torch.hub.download_url_to_file(URL, str(file), HASH, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:
        raise ValueError(
            f"metric/features=inception: its weights could not be downloaded from {URL} to {folder}: "
            f"{_one_line(error)}; metric/features=classifier needs no download, and metric.features.weights=FILE takes "
            "a copy of that file"
        ) from None
    try:
        return Inception(_tensors(file))
    except ValueError as error:
        raise ValueError(f"metric/features=inception: {file}: {error}; without it, it is downloaded anew") from None


def _tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, which can't run code; ValueError, which says why, where it has something else."""
    try:
        content = torch.load(regular(Path(file)), map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror or _one_line(error)}") from None
    except DAMAGE:
        raise ValueError("it is damaged, or holds more than tensors") from None
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise ValueError("expected tensors by name, as in torch-fidelity's file, got something else")
    return content


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
