"""Clustering scores by hand."""

import itertools

import pytest
import torch

from pmodel.metrics.clustering import clustering_scores


def test_a_renamed_partition_is_perfect():
    label = torch.tensor([0, 0, 1, 1, 2, 2])
    scores = clustering_scores(torch.tensor([2, 2, 0, 0, 1, 1]), label)
    assert scores == pytest.approx({"clustering_accuracy": 1, "nmi": 1, "ari": 1})


def test_accuracy_is_that_of_the_best_of_all_matchings():
    generator = torch.Generator().manual_seed(0)
    cluster, label = (torch.randint(4, (60,), generator=generator) for _ in range(2))
    best = max((torch.tensor(p)[cluster] == label).double().mean().item() for p in itertools.permutations(range(4)))
    assert clustering_scores(cluster, label)["clustering_accuracy"] == pytest.approx(best)


def test_more_clusters_than_labels_leave_some_alone():
    cluster, label = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1])
    assert clustering_scores(cluster, label)["clustering_accuracy"] == pytest.approx(5 / 6)


def test_random_clusters_score_nothing_beyond_chance():
    generator = torch.Generator().manual_seed(0)
    cluster, label = (torch.randint(5, (5000,), generator=generator) for _ in range(2))
    scores = clustering_scores(cluster, label)
    assert abs(scores["ari"]) < 0.01
    assert scores["nmi"] < 0.01
    assert scores["clustering_accuracy"] == pytest.approx(0.2, abs=0.03)


def test_mutual_information_by_hand():
    # Two clusters split label 0 in halves: I = H(label) = log 2, H(cluster) = 1.5 log 2.
    cluster, label = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 1, 1])
    assert clustering_scores(cluster, label)["nmi"] == pytest.approx(1 / ((1 + 1.5) / 2))
