"""The colours of clusters and classes."""

# Matplotlib's ten colours, and 15 more, each as far as can be from those before it in OKLab.
CLUSTER_COLORS = [
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
    *("#0000ff", "#d200ff", "#004b0f", "#3c0f87", "#960069", "#7800ff", "#003c5a", "#ff00c3", "#4b69ff", "#87a5ff"),
    *("#69001e", "#8700b4", "#877800", "#d29687", "#ff0078"),
]


def cluster_color(k: int) -> str:
    return CLUSTER_COLORS[k % len(CLUSTER_COLORS)]
