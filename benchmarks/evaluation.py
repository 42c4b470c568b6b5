"""What an evaluation costs: a second one against the first, and the FID against torch-fidelity.

A second evaluation on the same data finds the features of real examples, and what follows from them alone, in a cache.

For the FID, real training images of MNIST stand against real test images. The weights are random, drawn from a
fixed seed, so the distance means nothing but that both agree on it; its difference is printed. Both start from bytes in
memory and from a file of weights, and work on batches of their own choice: torch-fidelity's default is 64, its images
are loaded in this process. A part of the time is the distance itself, of two 2048×2048 covariances, whatever the count;
so the features alone have a row of their own, per image.

    uv run benchmarks/evaluation.py --data-dir ../shared/data [--count 10000 --rounds 1]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import in_turn, main, row

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the random weights, which the tests use too

FEATURE_IMAGES = 64


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of each part; a part is a function of the command line's settings."""
    return [*again_rows(arguments), *inception_rows(arguments)]


def again_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Sample quality and memorization of a second model on the same data, with what the first evaluation kept, against
    a first one; of grey noise and MNIST, with the data set's own small network."""
    import torch

    from pmodel import build
    from pmodel.evaluation import subject
    from pmodel.evaluation.memorization import Memorization
    from pmodel.evaluation.samples import SampleQuality

    class Noise:
        """Draws grey noise: sampling costs nothing, so the rest is what an evaluation costs."""

        device = torch.device("cpu")

        def sample(self, n: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
            return torch.rand(n, 1, 28, 28, generator=generator)

    limit = 2000 if arguments.quick else None

    def seconds(folder: str) -> float:
        data = build("data=mnist", data_dir=arguments.data_dir, limit=limit)
        subject._kept.clear()  # what one process remembers
        start = time.perf_counter()
        evaluated = subject.Subject(Noise(), data, cache_dir=Path(folder))
        for metric in (SampleQuality(None, None, 3, 5), Memorization(1000, None, None)):
            assert list(metric.ask(evaluated))
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as kept:
        seconds(kept)

        def first() -> float:
            with tempfile.TemporaryDirectory() as empty:
                return seconds(empty)

        rounds = 1 if arguments.quick else 3
        return [row("a second evaluation on the same data", *in_turn(lambda: seconds(kept), first, rounds))]


def inception_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The whole of a FID, and Inception's features alone."""
    import torch
    import torch_fidelity
    from inception_weights import Images, write_inception_weights
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from pmodel import build
    from pmodel.features.inception import inception_extractor
    from pmodel.metrics.frechet import Moments, frechet_distance

    count, rounds = (32, 1) if arguments.quick else (int(arguments.count), int(arguments.rounds))
    data = build("data=mnist", batch_size=64, num_validation=0, data_dir=arguments.data_dir)
    real = [data.examples(split, count).x for split in ("train", "test")]
    as_bytes = [(x * 255).round().byte().expand(-1, 3, -1, -1).contiguous() for x in real]

    with tempfile.TemporaryDirectory() as folder:
        weights = str(write_inception_weights(Path(folder) / "inception.pth"))
        found: dict[str, float] = {}

        def ours() -> float:
            start = time.perf_counter()
            extractor = inception_extractor(weights)
            found["ours"] = frechet_distance(*(Moments.of(extractor.features(x)) for x in real))
            return time.perf_counter() - start

        def rival() -> float:
            start = time.perf_counter()
            metrics = torch_fidelity.calculate_metrics(
                input1=Images(as_bytes[0]),
                input2=Images(as_bytes[1]),
                feature_extractor_weights_path=weights,
                fid=True,
                cuda=False,
                cache=False,
                save_cpu_ram=True,
                verbose=False,
            )
            found["rival"] = metrics["frechet_inception_distance"]
            return time.perf_counter() - start

        extractor = inception_extractor(weights)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], weights)

        def our_features() -> float:
            start = time.perf_counter()
            extractor.features(real[0][:FEATURE_IMAGES])
            return (time.perf_counter() - start) / len(real[0][:FEATURE_IMAGES])

        def rival_features() -> float:
            start = time.perf_counter()
            with torch.no_grad():
                network(as_bytes[0][:FEATURE_IMAGES])
            return (time.perf_counter() - start) / len(as_bytes[0][:FEATURE_IMAGES])

        for warm_up in (our_features, rival_features):
            warm_up()
        features = row("Inception features of an image", *in_turn(our_features, rival_features, 3))
        whole = row(f"FID of {count:,} train and {count:,} test images", *in_turn(ours, rival, rounds))
    difference = abs(found["ours"] - found["rival"])
    print(
        f"FID: ours {found['ours']:.6f}, torch-fidelity {found['rival']:.6f}, difference {difference:.1e}", flush=True
    )
    assert difference < 1e-3, "the two distances differ"
    return [features, whole]


if __name__ == "__main__":
    main(measure, __doc__.splitlines()[0], data_dir="data", count="200", rounds="3")
