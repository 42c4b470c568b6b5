"""Inception v3 against torch-fidelity's own, with the same weights, which are random; and what its file may hold."""

import random
import urllib.error
from collections import OrderedDict
from email.message import Message
from http.client import IncompleteRead
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from inception_weights import Images, write_inception_weights
from torch_fidelity import metric_fid
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from pmodel.features.inception import inception_extractor
from pmodel.metrics.frechet import Moments, frechet_distance

FILE_NAME = URL_INCEPTION_V3.rsplit("/", 1)[1]


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    return write_inception_weights(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.fixture(scope="session")
def extractor(weights):
    return inception_extractor(weights)


def images(n: int, C: int, H: int, W: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes (n, 3, H, W), and images (n, C, H, W) that are near enough to these levels to be rounded to them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, C, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (H, W), mode="bilinear")
    levels = (smooth * 255).round().clamp(1, 254)
    x = (levels + 0.9 * (torch.rand(levels.shape, generator=generator) - 0.5)) / 255
    return levels.byte().expand(-1, 3, -1, -1).contiguous(), x


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 45, 70), (3, 310, 305)])
def test_features_and_classes_are_torch_fidelitys(shape, weights, extractor):
    n = 20 if shape[0] == 1 else 5  # more than go through the network at once, which is shown once
    levels, x = images(n, *shape)
    rival = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(weights))
    expected, logits = rival(levels)
    z = extractor.features(x)
    assert z.shape == (n, 2048)
    assert z.dtype == torch.float32
    assert not z.requires_grad
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=5e-4)
    assert z.std(0).mean() > 0.1
    p = extractor.probabilities(z)
    assert p.shape == (n, extractor.num_classes) == (n, 1008)
    torch.testing.assert_close(p.log(), logits.log_softmax(1), rtol=0, atol=2e-3)
    if shape[0] == 1:
        torch.testing.assert_close(extractor.classify(x[:3]), p[:3])


# torch-fidelity takes half a minute for the eigenvalues of a 2048×2048 matrix: the fast one is of each 8th feature.
@pytest.mark.parametrize(("C", "every"), [(1, 8), pytest.param(3, 1, marks=pytest.mark.slow)])
def test_distances_and_scores_are_torch_fidelitys(C, every, weights, extractor, monkeypatch):
    statistics = metric_fid.fid_features_to_statistics
    monkeypatch.setattr(metric_fid, "fid_features_to_statistics", lambda z: statistics(z[:, ::every]))
    n = 12
    (levels_a, a), (levels_b, b) = images(n, C, 28, 28, seed=1), images(n, C, 28, 28, seed=2)
    expected = torch_fidelity.calculate_metrics(
        input1=Images(levels_a),
        input2=Images(levels_b),
        feature_extractor_weights_path=str(weights),
        fid=True,
        kid=True,
        isc=True,
        kid_subsets=1,
        kid_subset_size=n,
        isc_splits=1,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    z_a, z_b = extractor.features(a), extractor.features(b)
    distance = frechet_distance(Moments.of(z_a[:, ::every]), Moments.of(z_b[:, ::every]))
    assert distance == pytest.approx(expected["frechet_inception_distance"], rel=0, abs=1e-3)
    assert distance > 1

    p = extractor.probabilities(z_a).double()
    score = (p * (p / p.mean(0)).log()).sum(1).mean().exp().item()
    assert score == pytest.approx(expected["inception_score_mean"], rel=1e-5)
    assert score > 1.01

    def kernel(x, y):
        return (x.double() @ y.double().T / 2048 + 1) ** 3

    within = [(kernel(z, z).sum() - kernel(z, z).trace()) / (n * (n - 1)) for z in (z_a, z_b)]
    squared = (sum(within) - 2 * kernel(z_a, z_b).mean()).item()
    assert squared == pytest.approx(expected["kernel_inception_distance_mean"], rel=0, abs=1e-5)


def test_an_image_that_is_not_finite_has_features_that_are_not(extractor):
    _, x = images(3, 1, 28, 28)
    expected = extractor.features(x)
    x[1, 0, 5, 5] = torch.nan
    z = extractor.features(x)
    assert z[1].isnan().all()
    torch.testing.assert_close(z[[0, 2]], expected[[0, 2]])


def test_values_outside_0_and_1_are_those_of_the_nearest_byte(extractor):
    x = torch.tensor([-0.5, 1.5]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    torch.testing.assert_close(extractor.features(x), extractor.features(x.clamp(0, 1)))


@pytest.mark.parametrize("shape", [(5, 2), (5, 2, 8, 8), (5, 4, 8, 8)])
def test_what_inception_cannot_see_is_refused(shape, extractor):
    with pytest.raises(ValueError, match=r"^metric/features=inception: expected images with 1 or 3 channels, got"):
        extractor.features(torch.rand(shape))


def test_the_hash_is_of_the_weights_in_the_file(weights, extractor, tmp_path):
    assert len(extractor.hash) == 12
    assert inception_extractor(weights).hash == extractor.hash
    content = torch.load(weights, weights_only=True)
    content["Mixed_7c.branch_pool.bn.running_mean"][3] += 1e-6
    torch.save(content, tmp_path / "other.pth")
    assert inception_extractor(tmp_path / "other.pth").hash != extractor.hash


def test_the_resizer_says_which_version_made_the_features(extractor):
    assert extractor.resizer == f"bilinear as in TensorFlow 1, 299×299 (torch-fidelity {torch_fidelity.__version__})"


def test_it_leaves_the_random_state_alone(weights):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    assert not any(parameter.requires_grad for parameter in inception_extractor(weights).parameters())
    assert states() == before


class Marks:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def changed(weights: Path, **tensors) -> dict:
    """The content of a file of weights with other tensors; None: without one."""
    content = torch.load(weights, weights_only=True) | tensors
    return {name: tensor for name, tensor in content.items() if tensor is not None}


# What writes a file that is none of Inception's weights, and what is said of it.
SPOILT = {
    "missing": (lambda weights, file: None, "can't be read: No such file"),
    "cut": (lambda weights, file: file.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2]), "damaged"),
    "empty": (lambda weights, file: file.touch(), "damaged"),
    "code": (lambda weights, file: changed(weights, **{"fc.weight": Marks(file.with_name("marked"))}), "holds more"),
    "a folder": (lambda weights, file: file.mkdir(), "can't be read"),
    "a list": (lambda weights, file: list(changed(weights).values()), "expected tensors by name"),
    "names": (lambda weights, file: changed(weights, **{"fc.weight": None}), "fc.weight"),
    "shapes": (lambda weights, file: changed(weights, **{"fc.weight": torch.zeros(1000, 2048)}), "fc.weight"),
    "numbers": (lambda weights, file: changed(weights, **{"fc.weight": torch.full((1008, 2048), torch.nan)}), "finite"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_file_that_is_none_of_the_weights_is_refused_in_one_line(kind, weights, tmp_path):
    file = tmp_path / "given.pth"
    spoil, said = SPOILT[kind]
    content = spoil(weights, file)
    if isinstance(content, dict | list):
        torch.save(content, file)
    with pytest.raises(ValueError, match=r"^metric\.features\.weights=") as refusal:
        inception_extractor(str(file))
    message = str(refusal.value)
    assert message.startswith(f"metric.features.weights={file}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < len(str(file)) + 350
    assert not (tmp_path / "marked").exists()


def test_weights_in_an_older_pytorchs_form_of_file_are_read(weights, extractor, tmp_path):
    content = OrderedDict(torch.load(weights, weights_only=True))
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert inception_extractor(tmp_path / "old.pth").hash == extractor.hash


class Answer(BytesIO):
    """What the web answers, without a header."""

    def info(self) -> Message:
        return Message()


@pytest.fixture
def web(monkeypatch):
    """What the web answers: a function of no arguments; and the addresses that were asked for."""

    class Web:
        answer = None

        def __init__(self):
            self.asked = []

        def open(self, request):
            self.asked.append(request.full_url)
            return self.answer()

    web = Web()
    monkeypatch.setattr("torch.hub.urlopen", web.open)
    return web


@pytest.fixture
def any_weights(monkeypatch):
    """Random weights have another hash than torch-fidelity's."""
    monkeypatch.setattr("pmodel.features.inception.HASH", None)


def test_weights_are_downloaded_once(web, any_weights, weights, extractor, tmp_path):
    web.answer = lambda: Answer(weights.read_bytes())
    folder = tmp_path / "features" / "here"
    for _ in range(2):
        assert inception_extractor(None, folder).hash == extractor.hash
    assert web.asked == [URL_INCEPTION_V3]
    (file,) = folder.iterdir()
    assert file.name == FILE_NAME
    assert file.read_bytes() == weights.read_bytes()


def test_without_a_folder_of_ours_they_are_where_torch_fidelity_keeps_them(
    web, any_weights, weights, extractor, tmp_path
):
    previous = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    try:
        web.answer = lambda: Answer(weights.read_bytes())
        inception_extractor(None, None)
        web.answer = None
        assert inception_extractor(None, None).hash == extractor.hash
        FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
        assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == [FILE_NAME]
    finally:
        torch.hub.set_dir(previous)


def test_a_kept_file_that_is_damaged_is_named(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"half")
    with pytest.raises(ValueError, match=f"{FILE_NAME}: it is damaged, .*; without it, it is downloaded anew"):
        inception_extractor(None, tmp_path)


class Breaks(Answer):
    """A connection that ends before its time."""

    def read(self, n: int = -1) -> bytes:
        raise IncompleteRead(b"", 10)


def fail(error: Exception):
    raise error


ANSWERS = {
    "no name": (lambda: fail(urllib.error.URLError("Name or service not known")), "Name or service not known"),
    "refused": (lambda: fail(urllib.error.HTTPError(URL_INCEPTION_V3, 403, "Forbidden", {}, None)), "403"),
    "broken off": (lambda: Breaks(), "IncompleteRead"),
    "a page": (lambda: Answer(b"<html>log in first</html>"), "invalid hash value"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_without_the_web_one_line_says_what_to_do(answer, web, tmp_path):
    web.answer, reason = ANSWERS[answer]
    with pytest.raises(ValueError, match="could not be downloaded") as refusal:
        inception_extractor(None, tmp_path / "folder")
    message = str(refusal.value)
    for part in (reason, URL_INCEPTION_V3, "metric/features=classifier needs no download", "metric.features.weights="):
        assert part in message
    assert "\n" not in message
    assert not list((tmp_path / "folder").iterdir())


def test_without_a_place_for_the_download_one_line_says_so(web, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"could not be downloaded .*Not a directory"):
        inception_extractor(None, tmp_path / "file" / "folder")
