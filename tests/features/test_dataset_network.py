"""The networks whose features tell sets of examples apart: what they know, and that they are always the same."""

import math
import random

import numpy as np
import pytest
import torch
from support import array_data, build

from pmodel.features import dataset_network as features
from pmodel.features.choice import Features
from pmodel.features.dataset_network import RandomFourierFeatures, feature_extractor
from pmodel.metrics.frechet import Moments, frechet_distance


def digits(*settings):
    _, data = build("data=digits", *settings)
    data.setup("fit")
    return data


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(features, "NUM_STEPS", 20)


@pytest.fixture
def trainings(monkeypatch):
    """One entry for each training of a network."""
    done, train = [], features._train
    monkeypatch.setattr(features, "_train", lambda *args: (done.append(1), train(*args)))
    return done


@pytest.fixture
def data_dir_or_none(request):
    """The folder of MNIST's files; None where there is none."""
    try:
        return request.getfixturevalue("data_dir")
    except pytest.skip.Exception:
        return None


def global_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_the_digits_network_knows_the_digits():
    data = digits()
    extractor = feature_extractor(data, None)
    x, label = data.examples("validation", 250)
    p = extractor.classify(x)
    assert extractor.num_classes == p.shape[1] == 10
    torch.testing.assert_close(p.sum(1), torch.ones(250))
    torch.testing.assert_close(extractor.probabilities(extractor.features(x)), p)
    assert (p.argmax(1) == label).float().mean() > 0.95
    assert sum(parameter.numel() for parameter in extractor.parameters()) < 100_000


def test_a_network_is_the_same_whatever_the_random_state_and_leaves_it_alone(few_steps):
    found = []
    for seed in (1, 2):
        data = digits("data.binarize=dynamic")
        torch.manual_seed(seed)
        before = global_states()
        with torch.no_grad():
            found.append(feature_extractor(data, None))
        assert global_states() == before
    assert found[0].hash == found[1].hash
    assert len(found[0].hash) == 12
    assert found[0].hash != feature_extractor(digits(), None).hash


def test_the_networks_that_come_with_the_package_are_those_that_training_gives(
    trainings, data_dir_or_none, monkeypatch
):
    """Their hashes, which numbers carry, are the same on every machine."""
    assert feature_extractor(digits(), None).hash == "fdff8d25ff7d"
    for binarize, expected in (("dynamic", "7b1ccb2618e8"), ("none", "be37b0db33b9")):
        _, data = build("data=mnist_5k", f"data.binarize={binarize}")
        assert feature_extractor(data, None).hash == expected
    if data_dir_or_none is not None:
        _, data = build("data=mnist", f"data_dir={data_dir_or_none}")
        assert feature_extractor(data, None).hash == "06545184a047"
    assert not trainings
    for file in features.SHIPPED.glob("*.pt"):
        assert file.stat().st_size < 400_000
        weights = features.read_tensors(file, "")
        assert all(torch.equal(w, (w / features.GRID).round() * features.GRID) for w in weights.values())
    monkeypatch.setattr(features, "SHIPPED", features.SHIPPED / "nowhere")
    assert feature_extractor(digits(), None).hash == "fdff8d25ff7d"
    assert len(trainings) == 1


def test_a_network_is_trained_on_the_first_half_of_the_training_split_alone(few_steps):
    data = digits("data.limit=41")
    assert features.seen_by_network(41) == 21
    x, label = data._splits["train"]
    expected = feature_extractor(digits("data.limit=41"), None).hash
    data._splits["train"] = torch.cat([x[:21], x[21:].flip(0)]), torch.cat([label[:21], label[21:].flip(0)])
    assert feature_extractor(data, None).hash == expected
    data = digits("data.limit=41")
    data._splits["train"] = x.roll(1, 0), label.roll(1, 0)
    assert feature_extractor(data, None).hash != expected


def test_the_hash_is_of_the_weights():
    make = features.FeatureExtractor
    network = torch.nn.Linear(3, 2)
    first = make("a", network).hash
    assert make("b", network).hash == first
    with torch.no_grad():
        network.bias[1] += 1e-6
    assert make("a", network).hash != first


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((2,), "auto", "random Fourier features"),
        ((2,), "classifier", "random Fourier features"),
        ((1, 64, 64), "auto", "convolutions with random weights"),
        ((3, 64, 31), "auto", "convolutions with random weights"),
        ((4, 64, 64), "auto", "convolutions with random weights"),
        ((3, 32, 32), "auto", "inception"),
        ((3, 32, 32), "classifier", "convolutions with random weights"),
        ((1, 8, 8), "inception", "inception"),
    ],
)
def test_the_kind_of_features_chooses_the_network(shape, kind, expected, monkeypatch, tmp_path):
    given = []

    def inception(*arguments):
        given.append(arguments)
        return features.FeatureExtractor("inception", torch.nn.Linear(1, 1))

    monkeypatch.setattr("pmodel.features.inception.inception_extractor", inception)
    data = array_data(torch.rand(10, *shape, generator=torch.Generator().manual_seed(0)))
    extractor = Features(kind, "weights.pth").extractor(data, tmp_path)
    assert extractor.name == expected
    assert extractor.resizer == "none"
    if expected == "inception":
        assert given == [("weights.pth", tmp_path)]
    else:
        assert not given
        assert extractor is feature_extractor(data, None)


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (
            (2,),
            "inception",
            r"^metric/features=inception: expected images with 1 or 3 channels, got points of \(2,\)",
        ),
        ((4, 8, 8), "inception", r"^metric/features=inception: expected images .* got images of \(4, 8, 8\)"),
        ((3, 8, 8), "vgg", "^metric/features=vgg: expected auto, classifier or inception$"),
    ],
)
def test_features_that_do_not_fit_the_data_are_refused_before_a_download(shape, kind, message, monkeypatch):
    monkeypatch.setattr("pmodel.features.inception.inception_extractor", None)
    with pytest.raises(ValueError, match=message):
        Features(kind, None).extractor(array_data(torch.rand(4, *shape)), None)


def test_callbacks_of_a_run_share_one_network(few_steps, trainings):
    data = digits()
    assert feature_extractor(data, None) is feature_extractor(data, None)
    assert feature_extractor(data, None) is not feature_extractor(digits(), None)
    assert len(trainings) == 2


@pytest.mark.parametrize("damage", ["cut", "bits", "other"])
def test_weights_are_kept_in_a_file_and_a_damaged_file_is_replaced(damage, few_steps, trainings, tmp_path):
    folder = tmp_path / "features"
    first = feature_extractor(digits(), folder)
    (file,) = folder.iterdir()
    assert feature_extractor(digits("data.num_validation=250"), folder).hash == first.hash
    assert len(trainings) == 1
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "bits":
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    else:
        torch.save({"weights": {"a": torch.zeros(2)}}, file)
    assert feature_extractor(digits(), folder).hash == first.hash
    assert feature_extractor(digits(), folder).hash == first.hash
    assert len(trainings) == 2
    assert list(folder.iterdir()) == [file]


def test_other_training_examples_have_a_file_of_their_own(few_steps, trainings, tmp_path):
    for settings in ([], ["data.limit=300"], ["data.binarize=threshold"], ["data.split_seed=1"]):
        feature_extractor(digits(*settings), tmp_path)
    assert len(trainings) == len(list(tmp_path.iterdir())) == 4


def test_without_a_place_for_a_file_there_is_a_network_all_the_same(few_steps, tmp_path):
    (tmp_path / "file").touch()
    assert feature_extractor(digits(), tmp_path / "file" / "features").num_classes == 10


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 7, 7), (3, 11, 9), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_images_of_any_size_without_labels_have_features_of_random_weights(shape):
    x = torch.rand(600, *shape, generator=torch.Generator().manual_seed(0))
    found = [feature_extractor(array_data(x), None) for _ in range(2)]
    z = found[0].features(x)
    assert z.shape == (600, 64)
    assert z.dtype == torch.float32
    assert not z.requires_grad
    assert (z.std(0) > 1e-3).sum() >= 32
    torch.testing.assert_close(z[550:], found[1].features(x[550:]))
    assert found[0].num_classes is None
    assert "random" in found[0].name
    assert found[0].hash == found[1].hash


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_features_of_points_tell_a_ring_from_a_blob_of_the_same_mean_and_covariance(scale):
    _, data = build("data=points", "data.num_train=4000")
    x = data.examples("train", 4000).x * scale + scale
    extractor = feature_extractor(array_data(x[:2000], num_levels=None), None)
    root = torch.linalg.cholesky(torch.cov(x.T))
    blob = x.mean(0) + torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) @ root.T

    def distance(y, of):
        return frechet_distance(Moments.of(of(x[:2000])), Moments.of(of(y)))

    assert distance(blob, lambda y: y / scale) < 0.01
    assert distance(blob, extractor.features) > 20 * distance(x[2000:], extractor.features)


def test_a_feature_of_points_is_a_cosine_whose_mean_is_the_characteristic_function():
    """E cos(w·x + b) = exp(−|w|² / 2) cos b for x ~ N(0, I)."""
    x = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    extractor = feature_extractor(array_data(x[:1000]), None)
    fourier = extractor.network
    w = fourier.directions / fourier.deviation
    expected = (-w.square().sum(1) / 2).exp() * (fourier.phases - w @ fourier.mean).cos()
    torch.testing.assert_close(extractor.features(x).mean(0), expected, rtol=0, atol=4 / math.sqrt(2 * len(x)))


def test_features_of_points_have_kernels_of_three_widths():
    network = RandomFourierFeatures(torch.randn(50, 10), torch.Generator().manual_seed(0))
    scale = network.directions.view(3, -1).square().mean(1).mul(10).sqrt()
    torch.testing.assert_close(scale, torch.tensor([1.0, 4.0, 16.0]), rtol=0.15, atol=0)


def test_constant_points_have_finite_features():
    x = torch.full((10, 3), 5.0)
    assert feature_extractor(array_data(x), None).features(x).isfinite().all()
