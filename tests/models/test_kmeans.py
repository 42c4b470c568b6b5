"""k-means against scikit-learn's, and against what must hold of any."""

from itertools import pairwise

import lightning
import pytest
import torch
from built import GMM, PCAGMM, KMeans
from lightning.pytorch.callbacks import LambdaCallback
from sklearn.cluster import KMeans as Oracle
from support import array_data, build, fit, normal

from pmodel.data.digits import read_digits
from pmodel.models.kmeans import choose_centres, lloyd, nearest, reseed


def digits() -> torch.Tensor:
    return read_digits()[0].flatten(1).double() / 16


def from_start(start: torch.Tensor, **settings) -> KMeans:
    """A model that is to go on from the given centres (K, D)."""
    model = KMeans([start.shape[1]], len(start), num_starts=1, **settings)
    model.starts[0] = start
    model.initialized.fill_(True)
    return model


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_from_the_same_start_the_centres_are_scikit_learns(offset):
    x = digits() + offset
    start = x[:10]
    oracle = Oracle(10, init=start.numpy(), n_init=1, tol=1e-4, max_iter=300).fit(x.numpy())
    model = from_start(start)
    trainer = fit(model, array_data(x), max_epochs=300)
    assert trainer.current_epoch == oracle.n_iter_
    torch.testing.assert_close(model.centres, torch.from_numpy(oracle.cluster_centers_), atol=1e-8, rtol=0)
    assert torch.equal(model.assign(x), torch.from_numpy(oracle.labels_).long())
    inertia = (x - model.reconstruct(x)).square().sum().item()
    assert inertia == pytest.approx(oracle.inertia_, rel=1e-9)
    torch.testing.assert_close(model.encode(x), torch.from_numpy(oracle.transform(x.numpy())), atol=1e-6, rtol=0)


@pytest.mark.parametrize("batch_size", [7, 2048])
def test_bytes_give_the_centres_of_float64(batch_size):
    """Training on levels reads them as integers in float32; the same digits as float64 numbers are the oracle."""
    data = build("model=kmeans", "data=digits", f"data.batch_size={batch_size}")[1]
    data.setup("fit")
    x = data.examples("train", 10_000).x.flatten(1).double()
    start = x[:10]
    on_floats = from_start(start)
    fit(on_floats, array_data(x), max_epochs=300)
    on_bytes = KMeans([1, 8, 8], 10, num_starts=1)
    on_bytes.starts[0] = start
    on_bytes.origin.copy_(x.mean(0))
    on_bytes.initialized.fill_(True)
    trainer = fit(on_bytes, data, max_epochs=300)
    assert on_bytes.num_levels == 17  # it has read them
    # The levels k / 16 are exact in float32.
    torch.testing.assert_close(on_bytes.centres, on_floats.centres, atol=1e-12, rtol=0)
    inertia = (x - on_floats.reconstruct(x)).square().sum().item()
    assert trainer.callback_metrics["train/inertia"].item() == pytest.approx(inertia, rel=1e-4)


@pytest.mark.parametrize("apart", [1e-7, 1e-4, 1e-2])
def test_close_calls_of_float32_are_decided_by_float64(apart):
    """Every point is as near to two centres, but for a difference that float32 can't hold, or holds badly."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(0, 256, (200, 784), generator=generator).double()
    centre = torch.rand(784, dtype=torch.float64, generator=generator) * 255
    centres = torch.stack([centre, centre + apart * torch.randn(784, dtype=torch.float64, generator=generator)])
    exact = nearest(a, centres)
    assert 50 < exact.sum() < 150
    assert torch.equal(nearest(a.float(), centres, longest=784 * 255**2), exact)
    if apart > 1e-6:
        direct = torch.cdist(a, centres, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        assert torch.equal(exact[:, 0], direct)


@pytest.mark.parametrize("limit", [None, 5])
def test_bright_bytes_and_cut_epochs_have_the_right_sum_of_squares(limit):
    """Levels 250 to 255 of 64×64 images: small distances between large numbers."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(250, 256, (300, 1, 64, 64), dtype=torch.uint8, generator=generator)
    data = array_data(levels, batch_size=30, num_levels=256)
    model = KMeans([1, 64, 64], 3, num_starts=1, tolerance=0.0)
    found, expected = [], []

    class Watch(lightning.Callback):
        def on_train_epoch_start(self, trainer, model):
            self.before, self.seen = model.centres.clone(), []

        def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
            self.seen.append(batch.levels.x.flatten(1).double() / 255)

        def on_train_epoch_end(self, trainer, model):
            found.append(trainer.callback_metrics["train/squared_distance"].item())
            distance = torch.cdist(torch.cat(self.seen), self.before, compute_mode="donot_use_mm_for_euclid_dist")
            expected.append(distance.min(1)[0].square().mean().item())

    fit(model, data, max_epochs=4, limit_train_batches=limit, callbacks=[Watch()])
    assert model.num_levels == 256
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("start", ["k-means++", "random"])
@pytest.mark.parametrize("on_levels", [False, True])
def test_repeated_points_have_an_inertia_of_zero_also_where_they_are_fewer_than_clusters(start, on_levels):
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (9, 1, 4, 4), dtype=torch.uint8, generator=generator).repeat(20, 1, 1, 1)
    x = levels if on_levels else levels.flatten(1).double() / 255 + 1000
    data = array_data(x, num_levels=256 if on_levels else None)
    for K in (9, 10):
        model = KMeans(list(x.shape[1:]), K, start, num_starts=8)
        trainer = fit(model, data, max_epochs=20)
        assert trainer.current_epoch < 20
        # Of levels exactly 0; a mean of equal numbers may be rounded.
        assert 0 <= trainer.callback_metrics["train/inertia"].item() < (1e-30 if on_levels else 1e-20)
        examples = data.examples("train", 180).x
        # Levels are float32 there.
        assert model.encode(examples).min(1)[0].max() < (1e-6 if on_levels else 1e-12)
        assert (model.clusters()[1] > 0).sum() == 9


@pytest.mark.parametrize("model", [lambda: GMM([16], 10), lambda: PCAGMM([16], 4, 10)], ids=["gmm", "pca_gmm"])
def test_mixtures_of_fewer_points_than_components_stay_finite(model):
    x = torch.rand(9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).repeat(20, 1)
    mixture = model()
    fit(mixture, array_data(x), max_epochs=3)
    assert mixture.log_prob(x).isfinite().all()


def test_one_epoch_moves_each_centre_to_the_mean_of_its_own_examples():
    x = digits()[:50]
    start = x[:3]
    model = from_start(start)
    trainer = fit(model, array_data(x, batch_size=8), max_epochs=1)
    distance = torch.cdist(x, start)
    label = distance.argmin(1)
    for k in range(3):
        torch.testing.assert_close(model.centres[k], x[label == k].mean(0))
    assert trainer.callback_metrics["train/inertia"].item() == pytest.approx(distance.min(1)[0].square().sum().item())
    shares = torch.bincount(label, minlength=3) / 50
    torch.testing.assert_close(model.clusters()[1], shares.double())


def test_the_sum_of_squares_never_rises():
    x = digits()
    values = []

    watch = LambdaCallback(
        on_train_epoch_end=lambda trainer, model: values.append(trainer.callback_metrics["train/inertia"].item())
    )
    lightning.seed_everything(0, verbose=False)
    fit(KMeans([64], 10, num_starts=1, start="random"), array_data(x), max_epochs=300, callbacks=[watch])
    assert len(values) > 5
    # callback_metrics are float32.
    assert all(b <= a * (1 + 2e-7) for a, b in pairwise(values))


def test_of_several_starts_the_best_one_answers():
    x = digits()
    lightning.seed_everything(1, verbose=False)
    model = KMeans([64], 10, num_starts=5, start="random")
    fit(model, array_data(x), max_epochs=300)
    each = [torch.cdist(x, centres).min(1)[0].square().sum().item() for centres in model.starts]
    assert len({round(value, 3) for value in each}) > 1
    # It was the best before the last epoch; the others may still have moved in that.
    assert (x - model.reconstruct(x)).square().sum().item() == pytest.approx(min(each), rel=1e-3)


def test_empty_clusters_move_to_the_farthest_example():
    x = torch.tensor([[0.0], [0.1], [10.0]], dtype=torch.float64)
    model = from_start(torch.tensor([[0.0], [500.0]], dtype=torch.float64))
    fit(model, array_data(x), max_epochs=20)
    torch.testing.assert_close(model.centres.sort(0)[0], torch.tensor([[0.05], [10.0]], dtype=torch.float64))
    moved = reseed(torch.zeros(3, 1, dtype=torch.float64), torch.tensor([False, True, True]), x)
    assert moved.flatten().tolist() == [0.0, 10.0, 0.1]


def test_more_clusters_than_different_examples_do_no_harm():
    x = torch.ones(30, 2, dtype=torch.float64)
    model = KMeans([2], 4)
    fit(model, array_data(x), max_epochs=5)
    assert model.centres.isfinite().all()
    assert (model.reconstruct(x) == 1).all()


def test_k_means_plus_plus_takes_points_in_proportion_to_their_squared_distance():
    x = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(3, 3)
    for _ in range(4000):
        first, second = choose_centres(x, 2, "k-means++", generator).flatten().tolist()
        counts[[0, 1, 3].index(first), [0, 1, 3].index(second)] += 1
    assert not counts.diagonal().any()
    # Of two candidates the better one is taken. From 0: squared distances 1 and 9, and 3 leaves 1, 1 leaves 4.
    share = counts[0, 2] / counts[0].sum()
    assert share.item() == pytest.approx(1 - 0.1**2, abs=0.01)


def test_k_means_plus_plus_finds_well_separated_groups():
    groups = torch.arange(8, dtype=torch.float64)[:, None] * 100
    x = (groups[:, None] + torch.randn(8, 30, 1, dtype=torch.float64)).reshape(-1, 1)
    for seed in range(5):
        centres = choose_centres(x, 8, "k-means++", torch.Generator().manual_seed(seed))
        assert sorted((centres / 100).round().flatten().tolist()) == list(range(8))


def test_lloyd_in_memory_equals_scikit_learn():
    x = digits()
    oracle = Oracle(10, init=x[:10].numpy(), n_init=1).fit(x.numpy())
    mean = x.mean(0)
    centres, inertia = lloyd(x - mean, x[:10] - mean, max_iterations=300)
    torch.testing.assert_close(centres + mean, torch.from_numpy(oracle.cluster_centers_), atol=1e-8, rtol=0)
    assert inertia == pytest.approx(oracle.inertia_)


def test_too_few_examples_are_named():
    with pytest.raises(ValueError, match=r"model\.num_clusters=10: expected at most 4"):
        fit(KMeans([2], 10), array_data(torch.randn(4, 2)))


def test_a_far_start_is_the_farthest_point_and_its_nearest_ones():
    x = normal(200, 2, seed=3).double()
    x -= x.mean(0)
    chosen = choose_centres(x, 4, "far", torch.Generator())
    farthest = x[x.norm(dim=1).argmax()]
    assert torch.equal(chosen[0], farthest)
    distances = (x - farthest).norm(dim=1).sort()[0]
    torch.testing.assert_close((chosen - farthest).norm(dim=1), distances[:4])
