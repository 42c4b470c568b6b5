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
        chosen = _told(entries, (*TITLE, *FOLLOWING))
        if len({as_typed(part) for part in chosen}) < len(group):
            chosen = _told(entries, TITLE)
        for i, part in zip(group, chosen, strict=True):
            found[i] = part
    return found


def _told(data: list[dict[str, Any]], left_out: tuple[str, ...]) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for entries in data for key in entries if key.partition(".")[0] not in left_out)
    differing = [key for key in keys if len({as_typed(entries.get(key)) for entries in data}) > 1]
    return [{key: entries[key] for key in differing if entries.get(key) is not None} for entries in data]
