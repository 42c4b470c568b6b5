"""Small fixed networks whose features tell sets of examples apart; for each data set its own."""

import math
import weakref
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pmodel.features.extractor import FeatureExtractor
from pmodel.features.tensor_files import read_tensors, sha256, write_tensors
from pmodel.processes.bar import Bar

# Part of the name of a cached file: counts up with every change that makes other weights of the same examples, or
# another form of file.
RECIPE = 3
SEED = 0
NUM_FEATURES = 64
# 51,200 images: two epochs of half of MNIST, 79 of half of the embedded digits. On one slow core these took 27 s and
# 8 s, and reached 98.0 % and 96.8 % of validation.
NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 800, 64, 6e-3
# Weights are multiples of this. In float64, processors that round sums otherwise give weights that differ by 1e-12 at
# most after all steps, and in float32 by 0.03: what is rounded to the grid is the same everywhere, but for one in some
# thousand networks.
GRID = 2.0**-14
# Trained networks that come with the package, by the same names as in a cache: zoo/feature_networks.py makes them.
SHIPPED = Path(__file__).parent / "weights"
# Numbers in all training examples of which the network sees half: 2^27 float32 are 512 MiB.
MAX_VALUES = 2**28

_extractors: "weakref.WeakKeyDictionary[Any, FeatureExtractor]" = weakref.WeakKeyDictionary()


def feature_extractor(data: Any, cache_dir: Path | None) -> FeatureExtractor:
    """The network for a data module, on the CPU when new; the same object each time for the same data module.

    - images of which all that it sees have labels: a CNN trained to classify them
    - other images: that CNN with random weights
    - points: random Fourier features

    It sees the first half of the training examples (`seen_by_network`); the others are as new to it as samples are.
    All come from one fixed seed, and leave the global random state alone. Weights are drawn and trained in float64 and
    rounded to a grid of 2^-14, so that they, and their hash, do not depend on the processor or the number of threads.
    The trained network is kept under a name that is a hash of all that it is trained on: those of some data sets come
    with the package, the others are kept in `cache_dir`, where a file that is damaged is replaced.
    """
    if data not in _extractors:
        # Gradients are on, whatever the caller has turned off.
        with torch.inference_mode(False):
            _extractors[data] = _extractor(data, cache_dir)
    return _extractors[data]


def seen_by_network(count: int) -> int:
    """How many of `count` training examples, the first in the split's fixed and mixed order, a data set's own network
    sees: half, and where that is odd one more."""
    return (count + 1) // 2


class RandomFourierFeatures(nn.Module):
    """cos(w·x + b), (B, 72), of points x (B, D), with random directions and phases (Rahimi & Recht: Random features
    for large-scale kernel machines, 2007).

    The mean of such a feature is the characteristic function at w, seen from one phase, so equal means at all w mean
    equal distributions, where the mean and covariance of the points could not tell a ring of modes from one blob. w is
    normal with standard deviation s / (√D σ_j) along dimension j, whose standard deviation is σ_j: the kernels have
    widths of √D σ / s, for s = 1 of the whole cloud, for 4 of its modes, for 16 of what is within them.

    Args:
        x: training points (N, D), which set mean and scale.
    """

    SCALES = (1.0, 4.0, 16.0)
    NUM_PER_SCALE = 24

    def __init__(self, x: Tensor, generator: Generator):
        super().__init__()
        deviation = x.double().std(0, correction=0)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        scales = torch.tensor(self.SCALES).repeat_interleave(self.NUM_PER_SCALE)
        D = x.shape[1]
        normal = torch.randn(len(scales), D, generator=generator, dtype=torch.float64)
        directions = (normal * scales[:, None] / math.sqrt(D)).float()
        phases = 2 * math.pi * torch.rand(len(scales), generator=generator, dtype=torch.float64)
        self.mean = nn.Parameter(x.double().mean(0).float())
        self.deviation = nn.Parameter(deviation.float())
        self.directions, self.phases = nn.Parameter(directions), nn.Parameter(phases.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear((x - self.mean) / self.deviation, self.directions, self.phases).cos()


def convolutions(shape: tuple[int, ...], generator: Generator) -> nn.Sequential:
    """A CNN, float64, from images (B, C, H, W) of any size, in [0, 1], to features (B, 64), at least 0; with He's
    initial weights (Delving deep into rectifiers, 2015, arXiv 1502.01852)."""
    C, H, W = shape
    network = nn.Sequential(
        nn.Conv2d(C, 16, 5, stride=2 if min(H, W) >= 16 else 1, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 64, NUM_FEATURES),
        nn.ReLU(),
    )
    _initialize(network, generator)
    return network


def _initialize(network: nn.Module, generator: Generator) -> None:
    for parameter in network.double().parameters():
        if parameter.dim() == 1:
            nn.init.zeros_(parameter)
        else:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
    _round(network)


@torch.no_grad()
def _round(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.copy_((parameter / GRID).round() * GRID)


def _examples(data: Any) -> tuple[Tensor, Tensor]:
    """The training examples, and their labels, that a network is made from."""
    count = min(len(data.labels("train")), MAX_VALUES // math.prod(data.shape))
    return data.examples("train", seen_by_network(count))


def _extractor(data: Any, cache_dir: Path | None) -> FeatureExtractor:
    generator = Generator().manual_seed(SEED)
    if len(data.shape) == 1:
        return FeatureExtractor("random Fourier features", RandomFourierFeatures(_examples(data)[0], generator))
    # Layers draw weights when they are made, from the global state, before they get others.
    with torch.random.fork_rng(devices=[]):
        network = convolutions(data.shape, generator)
        head = nn.Linear(NUM_FEATURES, data.num_classes or 1)
    has_classes = data.num_classes is not None and data.num_classes > 1
    x, label = _examples(data) if has_classes else (None, None)
    if not has_classes or (label < 0).any():
        return FeatureExtractor("convolutions with random weights", network.float())
    _initialize(head, generator)
    classifier = nn.Sequential(network, head)
    settings = [RECIPE, SEED, NUM_STEPS, data.num_classes, *data.shape]
    name = f"{sha256(torch.tensor(settings), x, label)[:24]}.pt"
    places = [SHIPPED / name] if cache_dir is None else [SHIPPED / name, Path(cache_dir).expanduser() / name]
    found = (read_tensors(place, "its network is trained anew") for place in places)
    weights = next((tensors for tensors in found if tensors is not None), None)
    if weights is not None:
        classifier.load_state_dict(weights)
    else:
        _train(classifier.requires_grad_(True), x, label, generator)
        if cache_dir is not None:
            write_tensors(places[-1], classifier.float().state_dict(), "the next run trains its network anew")
    return FeatureExtractor("convolutions trained to classify", network.float(), head.float())


def _train(classifier: nn.Module, x: Tensor, label: Tensor, generator: Generator) -> None:
    """800 steps of Adam on the cross entropy, in float64; the learning rate rises and falls once (Smith & Topin, 2017,
    arXiv 1708.07120). On one thread, where small convolutions are fastest beside other processes."""
    optimizer = torch.optim.Adam(classifier.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, NUM_STEPS)
    batches: list[Tensor] = []
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Bar(NUM_STEPS, "training the network that compares images") as bar:
            for _ in range(NUM_STEPS):
                if not batches:
                    batches = list(torch.randperm(len(x), generator=generator).split(BATCH_SIZE))
                batch = batches.pop()
                optimizer.zero_grad()
                F.cross_entropy(classifier(x[batch].double()), label[batch]).backward()
                optimizer.step()
                schedule.step()
                bar.update()
    finally:
        torch.set_num_threads(num_threads)
    _round(classifier)
