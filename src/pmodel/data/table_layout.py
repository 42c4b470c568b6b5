"""What the columns of a table are, whatever file has them. Light to import."""

from array import array
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from annotated_types import MinLen

from pmodel.data.csv_cells import listed
from pmodel.settings.ranges import Whole

Header = Literal["auto"] | bool
# A column by its name, or by its number in the file, counted from 1.
Column = str | Whole
Columns = Annotated[list[Column], MinLen(1)]
Version = tuple[int, int] | None


@dataclass(frozen=True)
class Layout:
    """What the columns of a file are.

    path: as it was typed
    delimiter: between two cells of a CSV file; "" of others
    header: the line of a CSV file's names, counted from 1; None without
    all_names: of each column of the file; "" where it has none
    chosen: the places, from 0, of those that are numbers to learn from
    label: the place of that of the labels; None without
    notes: a line each on what was found
    version: when the file was last changed, and its size; None where there is none
    index: the places of columns that the file itself calls an index of the rows
    """

    path: str
    delimiter: str
    header: int | None
    all_names: tuple[str, ...]
    chosen: tuple[int, ...]
    label: int | None
    notes: tuple[str, ...]
    version: Version
    index: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the chosen columns, x and its number in the file where it has none, x and its name where that is a
        number."""
        names = [self.all_names[j] or str(j + 1) for j in self.chosen]
        return tuple(f"x{name}" if name.isdigit() else name for name in names)

    def column(self, place: int) -> str:
        """How a message calls a column."""
        return f"column {self.all_names[place] or place + 1}"


class Rows(NamedTuple):
    """The rows of a file: `numbers` of the chosen columns, row by row, `labels` as they stand there (None without a
    column of labels), and further notes."""

    numbers: array
    labels: list[str] | None
    notes: tuple[str, ...]


def place_of(layout: Layout, column: Column, typed: str) -> int:
    """The place, from 0, of a column that is named, or numbered from 1."""
    names = layout.all_names
    places = [j for j, name in enumerate(names) if name and name == str(column)]
    if len(places) > 1:
        numbers = " and ".join(str(j + 1) for j in places)
        raise ValueError(f"{typed}: columns {numbers} are both called {column}; type a number")
    if places:
        return places[0]
    if isinstance(column, int) and 1 <= column <= len(names):
        return column - 1
    there_are = listed(list(filter(None, names))) or f"without names, 1 to {len(names)}"
    raise ValueError(f"{typed}: there is no column {column} in {layout.path}; its columns are {there_are}")
