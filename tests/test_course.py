"""The course: two languages that say the same, code as it stands, commands that compose, and numbers that come out."""

import json
import re
import shlex

import pytest
from support import ROOT, loaded

from pmodel.commands.command_line import checked_command_line

COURSE = ROOT / "docs" / "course"
ENGLISH = sorted(file.stem for file in COURSE.glob("*.md") if not file.stem.endswith(".zh"))
PAGES = [name for page in ENGLISH for name in (page, f"{page}.zh")]
TEXTS = {name: (COURSE / f"{name}.md").read_text(encoding="utf-8") for name in PAGES}
NUMBERS = json.loads((COURSE / "numbers.json").read_text(encoding="utf-8"))
make = loaded(COURSE / "make.py")


def commands(page: str) -> list[list[str]]:
    """What a page has a reader type, word by word, without `uv run`."""
    lines = re.findall(r"^uv run ((?:train|eval)\.py .*)$", TEXTS[page], re.MULTILINE)
    inline = re.findall(r"`uv run ((?:train|eval)\.py [^`]*)`", TEXTS[page])
    return [shlex.split(line) for line in [*lines, *inline]]


def check(words: list[str]) -> None:
    checked_command_line(words[0].removesuffix(".py"), words[1:])


def test_there_are_nine_pages_and_an_index():
    assert len(ENGLISH) == 10
    for page in set(ENGLISH) - {"index"}:
        assert f"]({page}.md)" in TEXTS["index"]
        assert f"]({page}.zh.md)" in TEXTS["index.zh"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_and_its_pictures_exist(page):
    assert TEXTS[page].count("\n") <= 150
    for picture in re.findall(r"!\[[^\]]+\]\((.*?)\)", TEXTS[page]):
        assert (COURSE / picture).exists(), picture


def test_every_picture_is_shown():
    shown = set(re.findall(r"\((images/[^)]+)\)", "".join(TEXTS.values())))
    assert shown == {f"images/{file.name}" for file in (COURSE / "images").iterdir()}
    made = {f"images/{name}" for command in make.PAGES.values() for name in command.pictures}
    assert shown == made


@pytest.mark.parametrize("page", ENGLISH)
def test_both_languages_have_the_same_formulas_code_commands_and_pictures(page):
    english, chinese = TEXTS[page], TEXTS[f"{page}.zh"]
    assert f"]({page}.zh.md)" in english
    assert f"]({page}.md)" in chinese
    for what in (
        *(r"```python\n[\s\S]*?```", r"^uv run .*$", r"\((images/[^)]+)\)", r"^\| (`[^`|]*`) \|", r"^## "),
        *(r"^!\[", "<details><summary>"),
    ):
        found = [re.findall(what, text, re.MULTILINE) for text in (english, chinese)]
        assert len(found[0]) == len(found[1]), what
        assert found[0] == found[1], what
    # Words inside of formulas are translated.
    formulas = [
        [re.sub(r"\\text\{.*?\}|\s", "", formula) for formula in re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)]
        for text in (english, chinese)
    ]
    # A sentence may go on after a formula.
    assert [formula.rstrip(".,") for formula in formulas[0]] == [formula.rstrip(".,") for formula in formulas[1]]


@pytest.mark.parametrize("page", ENGLISH)
def test_code_stands_in_its_file_as_it_is_shown(page):
    for place, block in re.findall(r"```python\n# (src/\S+)\n(.*?)```", TEXTS[page], re.DOTALL):
        source = [line.strip() for line in (ROOT / place).read_text(encoding="utf-8").splitlines()]
        lines = [line.strip() for line in block.strip().splitlines()]
        assert any(source[i : i + len(lines)] == lines for i in range(len(source))), (place, lines[0])
    assert len(re.findall("```python\n", TEXTS[page])) == len(re.findall("```python\n# src/", TEXTS[page]))


@pytest.mark.parametrize("page", ENGLISH)
def test_commands_and_settings_to_change_compose(page):
    typed = commands(page)
    assert typed
    for words in typed:
        check(words)
    settings = re.findall(r"^\| `([^`]*)` \| (?!`)", TEXTS[page], re.MULTILINE)
    assert len(settings) >= 2 or page == "index"
    # Of two commands, the first or the second; the sentence says which.
    which = typed[1] if "add to the second command" in TEXTS[page] else typed[0]
    for setting in settings:
        check([*which, *shlex.split(setting)])


@pytest.mark.parametrize("name", make.PAGES)
def test_each_number_stands_on_a_page_as_it_was_measured(name):
    measured = NUMBERS[name]
    assert measured["command"] == f"uv run {make.PAGES[name].words}"
    assert set(measured["numbers"]) == set(make.PAGES[name].numbers)
    texts = [number["text"] for number in measured["numbers"].values()]
    texts += [measured["command"]] if name in ENGLISH else []
    holds = [page for page in ENGLISH if all(text in TEXTS[page] for text in texts)]
    assert holds, texts
    assert any(all(text in TEXTS[f"{page}.zh"] for text in texts) for page in holds)


@pytest.mark.parametrize("name", sorted(set(ENGLISH) - {"index"}))
def test_the_index_says_how_long_each_command_took(name):
    for page in ("index", "index.zh"):
        (row,) = (line for line in TEXTS[page].splitlines() if f"]({name}{page.removeprefix('index')}.md)" in line)
        assert row.endswith(f"`{NUMBERS[name]['command']}` | {NUMBERS[name]['seconds']} |")


@pytest.mark.slow
@pytest.mark.parametrize("name", make.PAGES)
def test_each_command_gives_its_numbers(name, tmp_path):
    command = make.PAGES[name]
    directory, _ = make.run(command, tmp_path)
    found = make.numbers_of(directory / "results.json")
    for key, tolerance in command.numbers.items():
        assert found[key]["value"] == pytest.approx(NUMBERS[name]["numbers"][key]["value"], rel=tolerance), key
    for place in command.pictures.values():
        assert (directory / place).stat().st_size > 1000
