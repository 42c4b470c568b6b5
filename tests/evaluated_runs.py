"""A results document of nine runs on one data set, as eval.py would leave it, with images: digits and noise."""

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from support import config

from pmodel.commands.figure_files import write_widget
from pmodel.evaluation import declared
from pmodel.figures.widget import Widget
from pmodel.instantiate import instantiate
from pmodel.plots.grids import image_grid, to_uint8
from pmodel.plots.plots import curves

DATA = {
    "data": "mnist",
    "shape": [1, 28, 28],
    "num_levels": 2,
    "binarize": "static",
    "dequantize": False,
    "limit": None,
    "split_sizes": {"train": 50_000, "validation": 10_000, "test": 10_000},
    "split_seed": 0,
}
MODELS = {
    "kmeans": "KMeans",
    "pca": "PCA",
    "gmm": "GaussianMixture",
    "autoencoder": "Autoencoder",
    "vae": "VAE",
    "pixelcnn": "PixelCNN",
    "pixelrnn": "PixelRNN",
    "gan": "GAN",
    "dcgan": "GAN",
}
EXACT = {"gmm": -112.4, "pixelcnn": -81.32, "pixelrnn": -79.21}
SAMPLE = {"gmm": 24.1, "vae": 9.27, "pixelcnn": 4.31, "pixelrnn": 2.874, "gan": 7.53, "dcgan": 3.02}
LIKELIHOOD, LIKE = "likelihood of unseen examples", "samples like the data"
ERROR = {"kmeans": 0.0391, "pca": 0.00913, "autoencoder": 0.00427, "vae": 0.00614}
CLUSTERS = {"kmeans": 0.591, "gmm": 0.643}
CODES = {"pca": 0.951, "autoencoder": 0.9634, "vae": 0.9702}
COST = {"kmeans": 7_840, "gmm": 61_550, "pca": 39_984, "autoencoder": 1_153_616, "vae": 1_162_864, "pixelcnn": 403_937}
COST |= {"pixelrnn": 1_012_033, "gan": 1_486_353, "dcgan": 3_574_656}


def name_of(label: str) -> str:
    return re.sub(r"\W+", "_", label).strip("_").lower()


def number(label: str, value: float, unit: str, group: str, better: str | None = None, **more: Any) -> dict[str, Any]:
    """One number, measured on all test examples."""
    own = more.pop("protocol", {})
    whole = {
        "name": name_of(label),
        "label": label,
        "value": value,
        "unit": unit,
        "group": group,
        "split": "test",
        "count": 10_000,
    }
    return whole | ({"better": better} if better else {}) | {"protocol": {**DATA, **own}} | more


def run(label: str, data: dict[str, Any] = DATA) -> dict[str, Any]:
    """One run's part of the document, without figures."""
    numbers, missing = [], []

    def measure(values: dict[str, float], words: str, unit: str, group: str, better: str, reason: str, **more: Any):
        if label in values:
            numbers.append(number(words, values[label], unit, group, better, **more))
        else:
            missing.append({"name": name_of(words), "label": words, "group": group, "reason": reason})

    bits = {"bits_per_dim": -EXACT.get(label, -86.2) / 784 / np.log(2), "standard_error": 0.2431}
    skilled = bits | {"skill": LIKELIHOOD}
    measure(
        EXACT, "log-likelihood", "nats", "likelihood", "higher", "the model has no log_prob", kind="exact", **skilled
    )
    no_elbo = "the model has no elbo"
    bound = {"kind": "bound", **bits, "skill": LIKELIHOOD}
    measure({"vae": -90.07}, "elbo (K = 1)", "nats", "likelihood", "higher", no_elbo, **bound)
    name = "importance-weighted bound (K = 500)"
    measure({"vae": -86.2}, name, "nats", "likelihood", "higher", no_elbo, **bound, protocol={"num_samples": 500})
    parzen = {name: 200 + 3 * i for i, name in enumerate(SAMPLE)}
    own = {"sigma": round(0.1 + len(label) / 100, 2), "num_generated": 10_000}
    no_samples = "the model has no sample"
    estimate = {"kind": "estimate", "standard_error": 1.93, "protocol": own}
    measure(parzen, "Parzen-window estimate", "nats", "likelihood", "higher", no_samples, **estimate)
    features = {"protocol": {"feature_network": "labels", "feature_hash": "91d0c8a2b7e4", "num_generated": 10_000}}
    unit = "distance of features"
    measure(
        SAMPLE, "Fréchet distance", unit, "samples", "lower", no_samples, standard_error=0.0312, **features, skill=LIKE
    )
    precision = {name: 1 - value / 30 for name, value in SAMPLE.items()}
    # A tenth of the samples: it must not be held against the others.
    few = {"protocol": {"num_generated": 1_000 if label == "pixelrnn" else 10_000}}
    kernel = {name: value / 70 for name, value in SAMPLE.items()}
    measure(kernel, "kernel distance", unit, "samples", "lower", no_samples, **few)
    measure(precision, "precision", "of 1", "samples", "higher", no_samples, **features, skill="realistic samples")
    recall = {name: 0.9 - value / 40 for name, value in SAMPLE.items()}
    measure(recall, "recall", "of 1", "samples", "higher", no_samples, **features, skill="varied samples")
    distance = {name: 5.2 + value / 10 for name, value in SAMPLE.items()}
    measure(distance, "distance to the nearest training example", "pixels", "memorization", "higher", no_samples)
    no_reconstruct = "the model has no reconstruct"
    measure(
        ERROR,
        "squared error per pixel",
        "",
        "reconstruction",
        "lower",
        no_reconstruct,
        standard_error=0.00004,
        skill="reconstructions",
    )
    no_assign, no_encode = "the model has no assign", "the model has no encode"
    measure(CLUSTERS, "clustering accuracy", "of 1", "clusters", "higher", no_assign, skill="clusters like the labels")
    measure(CODES, "linear probe accuracy", "of 1", "codes", "higher", no_encode, skill="codes that tell the labels")
    numbers.append({"name": "parameters", "value": COST[label], "unit": "", "group": "cost"})
    numbers.append({"name": "training_time", "value": 311.2 * len(label), "unit": "seconds", "group": "cost"})
    missing.append({"name": "modes_covered", "group": "samples", "reason": "the data are no known mixture"})
    references = [number("Fréchet distance", 0.412, unit, "samples", "lower")]
    references += [number("kernel distance", 0.0003, unit, "samples", "lower")]
    references += [
        number("precision", 0.944, "of 1", "samples", "higher"),
        number("recall", 0.938, "of 1", "samples", "higher"),
    ]
    references += [number("distance to the nearest training example", 6.01, "pixels", "memorization", "higher")]
    bounds = [[-90.07, -88.1, -86.9, -86.2]] if label == "vae" else [[-91.5, -89.2, -88.2, -87.9]]
    curve = {
        "name": "bound_over_num_samples",
        "label": "importance-weighted bound over K",
        "group": "likelihood",
        "x": [1, 10, 100, 500],
        "y": bounds[0],
    }
    curve |= {"error": [0.25, 0.24, 0.24, 0.24], "x_label": "K", "y_label": "nats", "log_x": True}
    return {
        "run": f"logs/train/{label}-mnist/2026-11-20_12-00-00",
        "label": label,
        "model": MODELS.get(label, "VAE"),
        "checkpoint": "checkpoints/best.ckpt",
        "checkpoint_sha256": sha256(label.encode()).hexdigest()[:12],
        "epoch": 39,
        "seed": 1,
        "data": data,
        "numbers": numbers,
        "missing": missing,
        "references": references,
        "curves": [curve] if label in ("vae", "autoencoder") else [],
        "figures": {},
        "missing_figures": {},
        "config": {
            "seed": 1,
            "data": {"_target_": "pmodel.data.torchvision_images.MNIST", "batch_size": 64, "binarize": "static"},
            "trainer": {"max_epochs": 40 if label != "pixelrnn" else 25, "precision": "32-true"},
            "model": {
                "_target_": f"pmodel.models.{label}.{MODELS[label]}",
                "latent_dim": 16 + len(label),
                label: 0.001,
            },
            "callbacks": {"best": {"dirpath": f"logs/train/{label}-mnist/checkpoints"}},
        },
    }


def document(labels: list[str] | None = None) -> dict[str, Any]:
    """The document of these runs, all nine by default, without figures."""
    return {
        "schema": 2,
        "split": "test",
        "hardware": "1 × NVIDIA H200, 16 threads",
        "versions": {"pmodel": "0.1.0", "torch": "2.15.0", "lightning": "2.6.6"},
        "code": "6cae2614f0d3",
        "settings": {"frechet": {"num_samples": 10_000, "features": "labels"}, "probe": {"num_labels": None}},
        "meanings": meanings(),
        "captions": captions(),
        "runs": [run(label) for label in labels or MODELS],
    }


def with_figures(results: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The document with figures of its runs, which are drawn below the folder: digits under ever more noise."""
    small = torch.from_numpy(load_digits().images[:64] / 16).float()[:, None]
    digits = F.pad(F.interpolate(small, scale_factor=3, mode="bicubic"), (2, 2, 2, 2))
    generator = torch.Generator().manual_seed(0)
    losses = curves({"loss": {"train": ([1, 2, 3, 4], [4, 2, 1.5, 1.2]), "val": ([1, 2, 3, 4], [4, 2.3, 1.9, 1.8])}})
    for i, part in enumerate(results["runs"]):
        label, figures, missing = f"run_{i}", part["figures"], part["missing_figures"]
        noise = torch.rand(digits.shape, generator=generator)
        images = digits + (noise - 0.5) * 0.15 * (8 - i)
        drawn = {"loss_curves": losses, "glance": image_grid(images[:8], 8)}
        if part["label"] in SAMPLE:
            drawn["samples"] = image_grid(images, 8)
            drawn["neighbours"] = image_grid(images[:30], 10)
        if part["label"] in ERROR:
            drawn["reconstructions"] = image_grid(images[:32], 8)
        if part["label"] in ("vae", "autoencoder"):
            drawn["interpolations"] = image_grid(images[:40], 10)
        if part["label"].startswith("pixel"):
            drawn["completions"] = image_grid(images[:20], 5)
        if part["label"] == "vae":
            drawn["of_tomorrow"] = image_grid(images[:4], 2)
        for name, image in drawn.items():
            path = folder / "figures" / label / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            figures[name] = str(path.relative_to(folder))
        part["widgets"] = {}
        for name, widget in widgets_of(part["label"], images).items():
            part["widgets"][name] = f"figures/{label}/{name}_widget.json"
            write_widget(widget, folder / part["widgets"][name])
        for name, method in {"samples": "sample", "reconstructions": "reconstruct", "completions": "complete"}.items():
            if name not in figures:
                missing[name] = f"the model has no {method}"
    return results


def widgets_of(label: str, images: torch.Tensor) -> dict[str, Widget]:
    """One of each kind, of runs that have such; 64 images (64, 1, 28, 28) stand for all that they show."""
    found, tiles = {}, to_uint8(images)
    words = "What one does here; what one sees."
    if label in ("pca", "autoencoder", "vae"):
        places = torch.rand(28, 2, generator=torch.Generator().manual_seed(1)).tolist()
        values = {"points": places, "groups": [i % 3 for i in range(28)], "names": ["a", "b", "<c>"]}
        values |= {"colors": ["#0072b2", "#e69f00", "#009e73"], "box": [-0.5, 1.5, -1.0, 1.0], "axes": ["z₁", "z₂"]}
        found["latent_scatter"] = Widget("plane", "Walk among codes", words, tiles, values | {"lattice": 6})
    if label == "vae":
        latents = [[f"z{k}", [-2.0, -0.5, 0.5, 2.0]] for k in (7, 3, 12)]
        found["traversals"] = Widget("sliders", "Turn latents", words, tiles, {"latents": latents, "start": [1, 2, 0]})
    if label.startswith("pixel"):
        found["completions"] = Widget("erase", "Erase", words, tiles, {"images": 4, "ways": 1})
    if label in ("gan", "dcgan"):
        labels = [f"epoch {epoch}" for epoch in range(1, 65)]
        found["samples_over_time"] = Widget("epochs", "Epoch by epoch", words, tiles, {"labels": labels, "start": 63})
    return found


def captions() -> dict[str, dict[str, str | None]]:
    """What the project's figures say of themselves."""
    return instantiate(config("model=vae", "paths.run_dir=unused")["callbacks"]["figures"]).captions


def meanings() -> dict[str, str]:
    """What the project's metrics say of the numbers of these documents."""
    names = {number["name"] for label in MODELS for number in run(label)["numbers"]}
    return {name: quantity.meaning for name, quantity in declared().items() if name in names}
