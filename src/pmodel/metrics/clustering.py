"""How well clusters agree with labels that no one showed to the model."""

from torch import Tensor


def clustering_scores(cluster: Tensor, label: Tensor) -> dict[str, float]:
    """Agreement of clusters (N,) with labels (N,), both int64, at least 0.

    - `clustering_accuracy`: the share of examples in a cluster matched with their label, under the best one-to-one
      matching of clusters and labels (Hungarian algorithm); with more clusters than labels, or fewer, some stay alone
    - `nmi`: mutual information over the arithmetic mean of the two entropies, 0 to 1
    - `ari`: the share of pairs that both or neither put together, adjusted for chance: 0 for random clusters, 1 at best
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    cluster, label = cluster.numpy(), label.numpy()
    counts = np.zeros((cluster.max() + 1, label.max() + 1), dtype=np.int64)
    np.add.at(counts, (cluster, label), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return {
        "clustering_accuracy": counts[rows, columns].sum().item() / len(label),
        "nmi": float(normalized_mutual_info_score(label, cluster)),
        "ari": float(adjusted_rand_score(label, cluster)),
    }
