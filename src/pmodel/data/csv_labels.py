"""The classes that a column of a CSV file tells apart."""

import functools
from collections.abc import Sequence

from pmodel.data.csv_cells import label_in, listed, number_in
from pmodel.data.csv_tables import Layout, data_lines


@functools.lru_cache(maxsize=8)
def num_classes(layout: Layout) -> int:
    """How many different labels there are in the file.

    Raises:
        ValueError: of one line, as `class_names`, or if a row has another number of cells.
    """
    return len(class_names(layout, [cells[layout.label] for _, cells in data_lines(layout)]))


def class_names(layout: Layout, labels: Sequence[str]) -> tuple[str, ...]:
    """The different labels, in the order of numbers if they are numbers, else of texts.

    Raises:
        ValueError: if there are fewer than two of them, or one for each row.
    """
    names = {label_in(label) for label in labels} - {None}
    place = f"data.label_column={layout.all_names[layout.label] or layout.label + 1}"
    if len(names) < 2:
        raise ValueError(f"{place}: expected at least 2 classes, and there is only {listed(sorted(names)) or 'none'}")
    if len(names) == len(labels):
        raise ValueError(f"{place}: expected classes of several rows, and each of {len(labels):,} rows has its own")
    numbers = {name: number_in(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))
