"""What the report says about figures and numbers that it knows by name, to a class that sees them first."""

from typing import Any

# Figures in the order of the report: name → title, and what one sees.
FIGURES: dict[str, tuple[str, str]] = {
    "samples": (
        "Samples",
        "Each image was drawn by the model from nothing but noise: compare how sharp they are, and how varied.",
    ),
    "samples_over_time": (
        "Samples over time",
        "The same noise after more and more epochs, one row for each: what a model learns first, and what last.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Held-out images, and what is left of each after the model has encoded it and decoded it again: what is "
        "missing did not pass through the code.",
    ),
    "completions": (
        "Completions",
        "The model saw only the upper half of each held-out image and drew the rest several times: good completions "
        "fit what is given and still differ from each other.",
    ),
    "interpolations": (
        "Interpolations",
        "Codes on the way from one image to another, decoded: in a good latent space every step is itself an image.",
    ),
    "traversals": (
        "Traversals",
        "One latent coordinate changes along each row while all others stay: what this coordinate stands for, if "
        "anything.",
    ),
    "arithmetic": (
        "Arithmetic of codes",
        "Codes added and subtracted like words in an analogy, then decoded: directions in the latent space can carry "
        "meaning.",
    ),
    "latent_manifold": (
        "Latent plane",
        "Points on a lattice in the plane of codes, decoded where they lie: neighbours look alike, and classes have "
        "regions.",
    ),
    "latent_scatter": (
        "Codes of held-out examples",
        "Each point is the code of a held-out example, coloured by its class, which the model was never told.",
    ),
    "centres": ("Cluster centres", "The mean of each cluster: what the model takes for the typical examples."),
    "components": (
        "Components",
        "The directions of largest variance: every example is described as the mean plus so much of each.",
    ),
    "clusters": ("Clusters", "Examples, coloured by the cluster that the model assigned them to."),
    "density": ("Density", "The model's density below the points: the smallest regions that hold a share of it."),
    "discriminator": (
        "The discriminator's verdicts",
        "Where the discriminator takes a point for real and where for generated, at the end of the game.",
    ),
    "pairs": ("Coordinates in pairs", "Real and generated points, two coordinates at a time."),
    "neighbours": (
        "Nearest neighbours",
        "Samples beside the training examples that are nearest to them: a sample that equals its neighbour was copied, "
        "not invented.",
    ),
    "likelihood_map": (
        "Maps of the likelihood",
        "How many bits each pixel costs the model given all pixels before it: dark where the image could be "
        "foretold, bright where it surprised.",
    ),
    "loss_curves": (
        "Training curves",
        "The quantities of training over the epochs: where the validation curve turns while the other falls on, the "
        "model has begun to learn by heart.",
    ),
}

# What one sees of points, where that is another thing than of images.
OF_POINTS: dict[str, str] = {
    "samples": "Points that the model drew from nothing but noise, beside real ones: compare where they lie, and which "
    "places they miss.",
    "samples_over_time": "The same noise after more and more epochs, over the real points: which places a model finds "
    "first, and which last.",
    "reconstructions": "Held-out points, and where each is after the model has encoded it and decoded it again: what "
    "is missing did not pass through the code.",
    "neighbours": "Samples and the training points that are nearest to them: a sample that lies on its neighbour was "
    "copied, not invented.",
}

# The beginning of a number's name → what it means. The longest that fits counts.
MEANINGS: dict[str, str] = {
    "negative log-likelihood": "The mean of −log p(x) over the examples, exact: how improbable the model finds "
    "images that it has never seen.",
    "negative log-likelihood of levels": "What a density says at most about −log p of the levels, from examples with "
    "uniform noise added.",
    "negative log-density": "The mean negative logarithm of a density, which depends on the unit of x and compares "
    "with no probability.",
    "negative ELBO": "The negative evidence lower bound: −log p(x) is at most that high; the "
    "importance-weighted bound with one sample of the code.",
    "negative importance-weighted bound": "An upper bound on −log p(x) from K weighted samples of the code; it "
    "tightens as K grows.",
    "BIC": "The Bayesian information criterion of the training examples, −2 log-likelihood + parameters · ln N: to "
    "choose among fits to the same data, and no quality across data.",
    "AIC": "Akaike's information criterion of the training examples, −2 log-likelihood + 2 · parameters: likewise.",
    "Parzen-window estimate": "The log-density of examples under Gaussian kernels on samples: an estimate, and a poor "
    "judge.",
    "Fréchet distance": "The Fréchet distance between Gaussians fitted to the features of real and of generated "
    "examples; it depends on the feature network and on both counts.",
    "kernel distance": "The squared maximum mean discrepancy of the features of real and of generated examples: unlike "
    "the Fréchet distance it has no bias of the count, so equal sets can fall below 0.",
    "Inception score": "How sure a classifier is about each sample and how varied its verdicts are; real examples play "
    "no part.",
    "precision": "The share of samples that lie among the real examples: whether what is drawn looks real.",
    "recall": "The share of real examples that lie among the samples: whether all that is real is drawn.",
    "density": "How many real examples' neighbourhoods a sample lies in, on average.",
    "coverage": "The share of real examples that have a sample nearby.",
    "sliced Wasserstein distance": "How far points have to move for one cloud to become the other, seen from many "
    "directions.",
    "squared maximum mean discrepancy": "How two clouds of points differ at the width of a Gaussian kernel; 0 on "
    "average for equal ones.",
    "modes covered": "How many modes of the known mixture get their share of samples.",
    "high-quality samples": "The share of samples within three standard deviations of the nearest mode.",
    "nearer to training than unseen": "Of all pairs of a sample and an unseen example, the share in which the sample "
    "is nearer to its nearest training example: 0.5 if the model invents as it should, towards 1 the more it copies, "
    "below where samples are unlike the data.",
    "reconstruction error": "How far reconstructions are from what they reconstruct.",
    "clustering_accuracy": "The share of examples in a cluster that is matched with their label, under the best "
    "one-to-one matching.",
    "nmi": "Normalized mutual information of clusters and labels: 0 if independent, 1 if the same partition.",
    "ari": "Adjusted Rand index: agreement of clusters and labels on pairs of examples, 0 by chance, 1 at best.",
    "linear probe accuracy": "How well a linear classifier on the codes finds the labels, which the model was never "
    "told.",
    "accuracy": "The share of examples whose most probable label is right.",
    "parameters": "Trainable ones; of models without a gradient, the numbers that a fit chooses.",
    "training time": "Seconds of training, without validation, figures and checkpoints.",
    "time per sample": "When 500 are drawn at once: the median over such draws.",
}


def explanation(name: str, data: list[dict[str, Any]]) -> str:
    """What one sees in the figure of that name, of these data, "" if it is unknown: of images, of points or both."""
    of_points = {name in OF_POINTS and len(entries.get("shape") or []) == 1 for entries in data}
    texts = [OF_POINTS[name] if points else FIGURES.get(name, ("", ""))[1] for points in sorted(of_points)]
    return " ".join(texts)


def meaning(name: str) -> str:
    """The sentence for a number of that name, "" if it is unknown."""
    fitting = [start for start in MEANINGS if name.startswith(start)]
    return MEANINGS[max(fitting, key=len)] if fitting else ""
