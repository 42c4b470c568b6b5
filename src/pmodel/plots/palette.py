"""The colours of clusters, classes and runs."""

# Six of Okabe and Ito's (Color Universal Design, 2008), without black, in which centres are, and yellow, which white
# swallows. And 19 more, each as far as can be in OKLab from those before it, to eyes with all kinds of cones and to
# those that lack one (Machado et al., A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009).
CLUSTER_COLORS = [
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#5a0f00", "#000096", "#784b4b", "#b4c3a5"),
    *("#a569ff", "#3c00e1", "#b42d87", "#4b2d4b", "#782d00", "#69d2ff", "#692da5", "#87b478", "#872dff", "#960f78"),
    *("#965a3c", "#d20fc3", "#e1c32d", "#3c0f69", "#d296c3"),
]


def cluster_color(k: int) -> str:
    return CLUSTER_COLORS[k % len(CLUSTER_COLORS)]
