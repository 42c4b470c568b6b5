"""Features of real examples, computed once."""

import pytest
import torch
from torch import nn

from pmodel.metrics import feature_cache
from pmodel.metrics.feature_cache import cached_features
from pmodel.metrics.features import FeatureExtractor


class Counted(nn.Module):
    """Cosines of sums, (B, 3); counts the examples that it sees."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        return (x.flatten(1).sum(1, keepdim=True) * self.weight).cos()


@pytest.fixture
def extractor():
    return FeatureExtractor("counted", Counted())


@pytest.fixture
def x():
    return torch.rand(700, 1, 4, 6, generator=torch.Generator().manual_seed(0))


def test_features_are_the_networks_and_computed_once(extractor, x, tmp_path):
    expected = extractor.features(x)
    folder = tmp_path / "cache" / "features"
    for _ in range(3):
        z = cached_features(extractor, x, str(folder))
        assert torch.equal(z, expected)
        assert z.dtype == torch.float32
        assert z.device.type == "cpu"
    assert extractor.network.seen == 2 * len(x)
    assert len(list(folder.iterdir())) == 1


def test_other_examples_shapes_types_and_networks_have_files_of_their_own(extractor, x, tmp_path):
    changed = x.clone()
    changed[-1, 0, 0, 0] += 1e-3
    other_weights, other_resizer = Counted(), FeatureExtractor("counted", Counted(), resizer="bilinear")
    with torch.no_grad():
        other_weights.weight[2] = 4.0
    cases = [
        (extractor, x),
        (extractor, changed),
        (extractor, x[:-1]),
        (extractor, x.flip(0)),
        (extractor, x.view(700, 1, 6, 4)),
        (extractor, x.view(350, 2, 4, 6)),
        (extractor, torch.zeros(2, 8, dtype=torch.float32)),
        (extractor, torch.zeros(2, 8, dtype=torch.int32)),
        (FeatureExtractor("counted", other_weights), x),
        (other_resizer, x),
    ]
    for _ in range(2):
        for network, examples in cases:
            assert torch.equal(cached_features(network, examples, tmp_path), network.features(examples))
    assert len(list(tmp_path.iterdir())) == len(cases)


@pytest.mark.parametrize("damage", ["cut", "bits", "other", "shape"])
def test_a_damaged_file_is_computed_anew_with_a_warning(damage, extractor, x, tmp_path, caplog):
    expected = cached_features(extractor, x, tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "bits":
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    elif damage == "other":
        torch.save({"features": torch.zeros(2)}, file)
    else:
        feature_cache.write_tensors(file, {"features": torch.zeros(700)}, "")
    assert not caplog.records
    assert torch.equal(cached_features(extractor, x, tmp_path), expected)
    assert [(record.name, record.levelname) for record in caplog.records] == [("pmodel", "WARNING")]
    assert str(file) in caplog.text
    assert torch.equal(cached_features(extractor, x, tmp_path), expected)
    assert len(caplog.records) == 1
    assert extractor.network.seen == 2 * len(x)
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_place_for_the_file_a_warning_and_features_all_the_same(extractor, x, tmp_path, caplog):
    (tmp_path / "file").touch()
    z = cached_features(extractor, x, tmp_path / "file" / "features")
    assert torch.equal(z, extractor.features(x))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_without_a_folder_nothing_is_kept(extractor, x, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        cached_features(extractor, x, None)
    assert extractor.network.seen == 2 * len(x)
    assert not list(tmp_path.iterdir())


def test_features_above_the_bound_are_not_kept(extractor, x, tmp_path, monkeypatch):
    size = len(x) * 3 * 4
    for bound, kept in ((size - 1, 0), (size, 1)):
        monkeypatch.setattr(feature_cache, "MAX_BYTES", bound)
        cached_features(extractor, x, tmp_path)
        assert len(list(tmp_path.iterdir())) == kept
