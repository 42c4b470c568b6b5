"""What the report says about figures and numbers that it knows by name, to a class that sees them first."""

# Figures in the order of the report: name → title, and what one sees.
FIGURES: dict[str, tuple[str, str]] = {
    "samples": (
        "Samples",
        "Each picture was drawn by the model from nothing but noise: compare how sharp they are, and how varied.",
    ),
    "samples_over_time": (
        "Samples over time",
        "The same noise after more and more epochs, one row for each: what a model learns first, and what last.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Held-out pictures, and what is left of each after the model has encoded it and decoded it again: what is "
        "missing did not pass through the code.",
    ),
    "completions": (
        "Completions",
        "The model saw only the upper half of each held-out picture and drew the rest several times: good completions "
        "fit what is given and still differ from each other.",
    ),
    "interpolations": (
        "Interpolations",
        "Codes on the way from one picture to another, decoded: in a good latent space every step is itself a picture.",
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
        "Codes of held-out pictures",
        "Each point is the code of a held-out picture, coloured by its class, which the model was never told.",
    ),
    "centres": ("Cluster centres", "The mean of each cluster: what the model takes for the typical pictures."),
    "components": (
        "Components",
        "The directions of largest variance: every picture is described as the mean plus so much of each.",
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
        "How many bits each pixel costs the model given all pixels before it: dark where the picture could be "
        "foretold, bright where it surprised.",
    ),
    "loss_curves": (
        "Training curves",
        "The quantities of training over the epochs: where the validation curve turns while the other falls on, the "
        "model has begun to learn by heart.",
    ),
}

# The beginning of a number's name, in small letters → what it means. The longest that fits counts.
MEANINGS: dict[str, str] = {
    "log-likelihood": "The mean of log p(x) over the examples, exact: how probable the model finds pictures that "
    "it has never seen.",
    "negative log-likelihood": "The mean of −log p(x) over the examples, exact: how improbable the model finds "
    "pictures that it has never seen.",
    "log-likelihood of levels": "What a continuous density says at least about the probability of the levels, from "
    "examples with uniform noise added.",
    "log-density": "The mean logarithm of a density, which depends on the unit of x and compares with no probability.",
    "negative log-density": "The mean negative logarithm of a density, which depends on the unit of x and compares "
    "with no probability.",
    "elbo": "The evidence lower bound: log p(x) is at least that high.",
    "negative elbo": "The negative evidence lower bound: −log p(x) is at most that high.",
    "importance-weighted": "A bound on log p(x) from K weighted samples of the code; it tightens as K grows.",
    "annealed importance sampling": "An estimate of log p(x) along a path of distributions from the prior to the "
    "posterior.",
    "parzen": "The log-density of examples under Gaussian kernels on samples: an estimate, and a poor judge.",
    "fréchet": "The Fréchet distance between Gaussians fitted to the features of real and of generated examples; it "
    "depends on the feature network and on both counts.",
    "frechet": "The Fréchet distance between Gaussians fitted to the features of real and of generated examples; it "
    "depends on the feature network and on both counts.",
    "fid": "The Fréchet distance of Inception's features of real and of generated examples; it depends on both counts.",
    "kernel": "The squared maximum mean discrepancy of the features of real and of generated examples under a kernel; "
    "unlike the Fréchet distance it has no bias of the count.",
    "kid": "The squared maximum mean discrepancy of Inception's features under a polynomial kernel.",
    "inception score": "How sure a classifier is about each sample and how varied its verdicts are; real examples play "
    "no part.",
    "precision": "The share of samples that lie among the real examples: whether what is drawn looks real.",
    "recall": "The share of real examples that lie among the samples: whether all that is real is drawn.",
    "coverage": "The share of real examples that have a sample nearby.",
    "density": "How many real examples' neighbourhoods a sample lies in, on average.",
    "modes": "How many modes of the known mixture get their share of samples.",
    "high-quality": "The share of samples within three standard deviations of the nearest mode.",
    "distance to the nearest": "How far samples are from the nearest training example; far less than for held-out "
    "examples means copies.",
    "nearest": "How near samples are to training examples, as held-out examples are by chance; nearer means copies.",
    "squared error": "The mean of (x − x̂)² over all sub-pixels: what is lost on the way through the code.",
    "reconstruction": "How far reconstructions are from what they reconstruct.",
    "clustering": "The share of examples in a cluster that is matched with their label, under the best one-to-one "
    "matching.",
    "nmi": "Normalized mutual information of clusters and labels: 0 if independent, 1 if the same partition.",
    "normalized mutual information": "Of clusters and labels: 0 if independent, 1 if the same partition.",
    "ari": "Adjusted Rand index: agreement of clusters and labels on pairs of examples, 0 by chance, 1 at best.",
    "adjusted rand": "Agreement of clusters and labels on pairs of examples, 0 by chance, 1 at best.",
    "linear probe": "How well a linear classifier on the codes finds the labels, which the model was never told.",
    "active": "How many latent coordinates depend on x at all; the others are noise.",
    "parameters": "Trainable ones; of models without a gradient, the numbers that a fit chooses.",
    "training time": "Seconds of training, without validation, figures and checkpoints.",
    "throughput": "Training examples per second, without validation, figures and checkpoints.",
}


def meaning(name: str) -> str:
    """The sentence for a number of that name, "" if it is unknown."""
    fitting = [start for start in MEANINGS if name.lower().startswith(start)]
    return MEANINGS[max(fitting, key=len)] if fitting else ""
