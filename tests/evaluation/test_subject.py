"""What metrics share: every example once, the same draws always."""

import pytest
import torch
from support import array_data
from torch import Generator, Tensor

from pmodel.evaluation.subject import Subject


class Draws:
    """A model that draws normal points, and counts how often it is asked."""

    device = torch.device("cpu")
    asked = 0

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        self.asked += n
        return torch.randn(n, 2, generator=generator)


def subject(count: int = 103, batch_size: int = 500) -> Subject:
    x = torch.arange(2 * count, dtype=torch.float32).reshape(count, 2)
    data = array_data(x, num_validation=count)
    return Subject(Draws(), data, "validation", batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 7, 103, 500])
def test_every_example_is_passed_once_in_its_order_whatever_the_batch_size(batch_size):
    evaluated = subject(batch_size=batch_size)
    seen = []
    values = evaluated.over(lambda x, _: seen.append(x) or x[:, 0], evaluated.examples.x)
    assert torch.equal(torch.cat(seen), evaluated.examples.x)
    assert torch.equal(values, evaluated.examples.x[:, 0])


def test_draws_are_the_same_however_many_are_asked_for_first():
    a, b = subject(), subject()
    few, many = a.samples(10), b.samples(3 * Subject.PART + 1)
    assert torch.equal(few, many[:10])
    assert torch.equal(a.samples(3 * Subject.PART + 1), many)
    assert a.model.asked == 4 * Subject.PART
    assert len(many.unique(dim=0)) == len(many)


def test_noise_of_two_parts_differs_and_does_not_touch_the_global_state():
    evaluated = subject(count=20, batch_size=10)
    state = torch.get_rng_state()
    noise = evaluated.over(lambda x, g: torch.rand(len(x), generator=g), evaluated.examples.x)
    assert torch.equal(state, torch.get_rng_state())
    assert len(noise.unique()) == 20
    assert torch.equal(noise, evaluated.over(lambda x, g: torch.rand(len(x), generator=g), evaluated.examples.x))


def test_the_time_of_a_sample_is_unknown_before_any_was_drawn():
    evaluated = subject()
    assert evaluated.seconds_per_sample != evaluated.seconds_per_sample
    evaluated.samples(1)
    assert evaluated.seconds_per_sample > 0


@pytest.fixture
def forget(monkeypatch):
    """Empties what the process remembers, as a new one would; call it again for another new process."""

    def empty() -> None:
        monkeypatch.setattr("pmodel.evaluation.subject._kept", {})

    empty()
    return empty


def test_what_depends_on_real_examples_alone_is_measured_once_for_each_key(tmp_path, forget):
    evaluated, calls = subject(), []
    evaluated.cache_dir = tmp_path
    x, y = torch.zeros(4, 2), torch.ones(4, 2)

    def measured(*key: Tensor | str) -> Tensor:
        found = evaluated.kept("sums", key, lambda: calls.append(key) or {"value": torch.tensor(len(calls))})
        return found["value"]

    assert measured(x, "k = 3") == 1
    assert measured(x, "k = 3") == 1
    forget()  # from the file
    assert measured(x, "k = 3") == 1
    assert [measured(x, "k = 5"), measured(y, "k = 3"), measured(x[:3], "k = 3")] == [2, 3, 4]
    assert measured(x.reshape(2, 4), "k = 3") == 5
    assert measured(x.view(torch.int32), "k = 3") == 6
    evaluated.cache_dir = None
    forget()
    assert measured(x, "k = 3") == 7


def test_a_damaged_file_of_the_cache_is_replaced_with_a_word(tmp_path, forget, caplog):
    evaluated = subject()
    evaluated.cache_dir = tmp_path
    for expected in (1.0, 2.0):
        forget()
        assert evaluated.kept("sums", ("a",), lambda e=expected: {"value": torch.tensor(e)})["value"] == expected
        (file,) = tmp_path.glob("sums-*.pt")
        file.write_bytes(b"no tensors")
    assert "its sums are measured anew" in caplog.text


def test_what_is_too_large_or_has_no_place_is_measured_each_time(tmp_path, forget, monkeypatch, caplog):
    evaluated = subject()
    evaluated.cache_dir = tmp_path / "cache"
    monkeypatch.setattr("pmodel.evaluation.subject.MAX_KEPT_BYTES", 0)
    monkeypatch.setattr("pmodel.evaluation.subject.MAX_FILE_BYTES", 7)
    for expected in (1.0, 2.0):
        found = evaluated.kept("sums", ("a",), lambda e=expected: {"value": torch.tensor([e, e])})
        assert found["value"][0] == expected
    assert not evaluated.cache_dir.exists()
    evaluated.kept("sums", ("a",), lambda: {"value": torch.tensor(3.0)})
    assert len(list(evaluated.cache_dir.iterdir())) == 1
    evaluated.cache_dir = tmp_path / "cache" / next(evaluated.cache_dir.iterdir()).name / "below a file"
    assert evaluated.kept("sums", ("b",), lambda: {"value": torch.tensor(4.0)})["value"] == 4
    assert "the next evaluation measures its sums anew" in caplog.text


def test_a_second_evaluation_passes_no_real_example_through_the_network(tmp_path, forget, monkeypatch):
    from built import Memorization, SampleQuality

    from pmodel.features.extractor import FeatureExtractor

    passed = []
    features = FeatureExtractor.features
    monkeypatch.setattr(FeatureExtractor, "features", lambda self, x: passed.append(len(x)) or features(self, x))
    found = []
    for _ in range(2):
        forget()
        passed.clear()
        evaluated = subject(count=60)
        evaluated.cache_dir = tmp_path
        found.append([list(metric.measure(evaluated)) for metric in (SampleQuality(50), Memorization(50))])
    assert sum(passed) == 50  # the samples
    assert found[0] == found[1]
