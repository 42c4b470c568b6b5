"""What tells tables on different data apart, in few words."""

from typing import Any

from pmodel.reporting.texts import as_typed, flat, grouped

# Entries that stand in the title.
TITLE = ("data", "name")
# What follows from other entries: how many levels images have, and how many examples there are.
FOLLOWING = ("num_levels", "split_sizes")


def data_title(data: dict[str, Any]) -> str:
    """The data's name: "digits", "points ring"."""
    return " ".join(str(data[key]) for key in TITLE if data.get(key)) or "data"


def differences(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each of several data the entries that tell it from others of its title, without those that it has not set.

    What follows from other entries is said only where nothing else differs.
    """
    found: list[dict[str, Any]] = [{} for _ in data]
    for group in grouped((data_title(entries), i) for i, entries in enumerate(data)).values():
        entries = [flat(data[i]) for i in group]
        keys = dict.fromkeys(key for own in entries for key in own if key not in TITLE)
        differing = [key for key in keys if len({as_typed(own.get(key)) for own in entries}) > 1]
        telling = [key for key in differing if key.partition(".")[0] not in FOLLOWING]
        if len({as_typed([own.get(key) for key in telling]) for own in entries}) < len(group):
            telling = differing
        for i, own in zip(group, entries, strict=True):
            found[i] = {key: own[key] for key in telling if own.get(key) is not None}
    return found
