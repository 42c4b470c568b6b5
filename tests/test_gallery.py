"""docs/gallery.md is what its script writes, also with films of trainings, which need not be there."""

import json
import re
from types import ModuleType

import pytest
from support import ROOT, loaded


@pytest.fixture
def gallery() -> ModuleType:
    return loaded(ROOT / "docs" / "gallery.py")


def test_the_page_is_what_the_script_writes(gallery: ModuleType):
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == gallery.rendered()


def test_each_tile_has_a_picture_a_command_a_number_with_its_error_and_a_page(
    gallery: ModuleType, tmp_path, monkeypatch
):
    monkeypatch.setattr(gallery, "COURSE", tmp_path)  # without films, of which the numbers may be missing
    tiles = gallery.rendered().split("\n### ")[1:]
    assert len(tiles) > 10
    for tile in tiles:
        assert re.search(r"^\[!\[.*\]\((\S+\.png)\)\]\(\S+\)$", tile, re.MULTILINE)
        assert "```\nuv run train.py " in tile
        assert re.search(r"\d (± \d|\(sd \.\d)", tile)
        assert "[Read on](" in tile


def test_a_film_has_a_tile_with_its_command_and_its_number(gallery: ModuleType, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "COURSE", tmp_path)
    assert "films" not in gallery.rendered()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "two_moons.gif").write_bytes(b"")
    number = {"label": "negative log-density", "text": "1.0", "unit": "nats"}
    said = {"title": "Two moons", "page": "density.md", "command": "uv run train.py model=gmm"}
    said |= {"pictures": ["two_moons.gif"], "numbers": {"nll": number}}
    (tmp_path / "numbers.json").write_text(json.dumps({"moons": said}))
    page = gallery.rendered()
    assert "### Two moons\n\n[![Two moons](course/images/two_moons.gif)](course/density.md)" in page
    text = "negative log-density: 1.0 nats. [Read on](course/density.md)"
    assert f"```\nuv run train.py model=gmm\n```\n\n{text}" in page
