"""Where draws become files: a folder of PNG files, or one file. Light to import: a wrong place is refused at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pmodel.config.early_checks import check_writable
from pmodel.config.tree import ConfigError
from pmodel.files.atomic import SUFFIX
from pmodel.files.printable import setting, shown

# One file, by how it ends; .csv takes points alone.
NPZ, CSV = ".npz", ".csv"
# How files of other kinds end: whoever types one does not mean a folder of that name.
OTHER_KINDS = {".png", ".jpg", ".jpeg", ".npy", ".pt", ".pth", ".parquet", ".zip", ".json", ".tsv", ".txt", ".h5"}


@dataclass(frozen=True)
class SamplePlace:
    """What `out=…` means.

    path: the folder, or the file
    about: the file that says what is drawn there
    work: the folder that is written to while draws are made: the folder itself, or one beside the file
    """

    path: Path

    @classmethod
    def of(cls, out: str) -> "SamplePlace":
        return cls(Path(out).expanduser())

    def __str__(self) -> str:
        return setting("out", str(self.path))

    @property
    def is_file(self) -> bool:
        return self.path.suffix.lower() in (NPZ, CSV)

    @property
    def is_csv(self) -> bool:
        return self.path.suffix.lower() == CSV

    @property
    def about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json") if self.is_file else self.path / "sample.json"

    @property
    def work(self) -> Path:
        return self.path.with_name(f"{self.path.name}.parts") if self.is_file else self.path

    def check(self, shape: Sequence[int]) -> None:
        """Refuses a place that is none, or that has something else, or that draws of a shape can't be written to.

        Raises:
            ConfigError: of one line.
        """
        suffix, are_images = self.path.suffix.lower(), len(shape) == 3
        if suffix in OTHER_KINDS:
            kinds = "a folder, or draws.npz" if are_images else "draws.npz or draws.csv"
            raise ConfigError(f"{self}: expected {kinds}; files of the kind {suffix} are not written")
        if are_images and self.is_csv:
            raise ConfigError(f"{self}: the run draws images: type a folder for PNG files, or out=draws.npz")
        if not are_images and not self.is_file:
            raise ConfigError(f"{self}: the run draws points, which are no PNG files: type out=draws.npz or draws.csv")
        if are_images and not self.is_file and shape[0] not in (1, 3):
            raise ConfigError(f"{self}: PNG files have 1 or 3 channels, and draws have {shape[0]}: type out=draws.npz")
        if self.is_file:
            if self.path.is_dir():
                raise ConfigError(f"{self}: expected a file, and it is a folder")
            if self.path.exists() and not self.about.is_file():
                raise ConfigError(f"{self}: there is a file already, which is kept: type another name")
        elif self.path.is_dir() and not self.about.is_file() and (others := self._others()):
            raise ConfigError(f"{self}: there are other files in it, such as {shown(others[0])}: type a new folder")
        check_writable(self.work, str(self))

    def _others(self) -> list[Path]:
        hidden = ("Thumbs.db", "desktop.ini")
        return [p for p in sorted(self.path.iterdir()) if not (p.name.startswith(".") or p.name in hidden)]


def check_sample(out: Any, config: dict[str, Any]) -> None:
    """What is wrong with a place to sample to, before anything heavy is imported.

    out: the place; what is none is refused under its own name
    config: of the run

    Raises:
        ConfigError: of one line.
    """
    shape = config["data"].get("shape")
    if isinstance(out, str) and out.strip() and isinstance(shape, list):
        SamplePlace.of(out).check(shape)


def is_leftover(path: Path) -> bool:
    """Whether a process that was killed left it."""
    return re.search(rf"\.\d+{re.escape(SUFFIX)}$", path.name) is not None
