"""The small networks whose features tell sets of images apart, trained once and kept in the package.

    uv run zoo/feature_networks.py data=digits
    uv run zoo/feature_networks.py data=mnist data_dir=data

What is typed are settings of the data, as for train.py. Of the default ones the network comes with the package, so a
distance has the same features on every machine; a data set with other settings, or without a file here, trains its own
on first use. The file's name is the hash of what it is trained on (`pmodel.features.dataset_network`): one that nothing
asks for any more may be removed.
"""

import sys

from hydra import compose, initialize_config_dir

from pmodel.config.resolvers import register_resolvers
from pmodel.features import dataset_network as features
from pmodel.features.dataset_network import SHIPPED, feature_extractor
from pmodel.instantiate import instantiate
from pmodel.runs.typed import CONFIG_DIR


def main(*typed: str) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        settings = compose("train", ["name=none", *typed])
        data = instantiate(settings["data"])
    before = {file.name for file in SHIPPED.glob("*.pt")}
    extractor = feature_extractor(data, SHIPPED)
    x, label = data.examples("validation", features.MAX_VALUES)
    right = (extractor.classify(x).argmax(1) == label).float().mean().item()
    made = {file.name for file in SHIPPED.glob("*.pt")} - before
    print(f"{' '.join(typed)}: hash {extractor.hash}, {100 * right:.1f} % of {len(x):,} validation examples are right")
    print(f"  written: {SHIPPED / made.pop()}" if made else "  it was there already, or the data have no labels")


if __name__ == "__main__":
    main(*sys.argv[1:])
