"""docs/notebooks, each from its first cell to its last in a process of its own."""

import os
import sys
from pathlib import Path

import pytest
from support import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
# On a code host, and in a clone.
LARGEST = 300_000
nbformat = pytest.importorskip("nbformat")


def images(notebook) -> list[str]:
    """The images that its cells show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} == {"first_steps", "your_data", "your_model", "comparing_models"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_is_small_and_shows_figures_as_it_stands(path: Path):
    notebook = nbformat.read(path, as_version=4)
    assert images(notebook)
    assert path.stat().st_size < LARGEST
    assert str(Path.home()) not in path.read_text(encoding="utf-8")
    assert not [cell for cell in notebook.cells if any(out.output_type == "error" for out in cell.get("outputs", []))]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of Jupyter's, about itself
def test_each_runs_from_the_first_cell_to_the_last(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in sys.path if part))
    notebook = nbformat.read(path, as_version=4)
    shown = len(images(notebook))
    place = {"metadata": {"path": str(tmp_path)}}
    done = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    assert len(images(done)) == shown
    page = str([cell.get("outputs") for cell in done.cells])
    assert "<progress" in page  # the bar of a notebook
    assert "epoch 1/" not in page  # and not the lines of a terminal
