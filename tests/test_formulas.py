"""Formulas of the docs, from TeX to MathML."""

import importlib.util
import xml.etree.ElementTree as ElementTree
from types import ModuleType

import pytest
from support import ROOT


@pytest.fixture(scope="module")
def tex() -> ModuleType:
    pytest.importorskip("docutils", reason="docutils is not installed")
    spec = importlib.util.spec_from_file_location("tex", ROOT / "docs" / "sphinx" / "tex.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(tex: ModuleType, formula: str, is_block: bool = True) -> ElementTree.Element:
    return ElementTree.fromstring(
        tex.mathml(formula, is_block).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    )


@pytest.mark.parametrize(
    ("formula", "place", "texts"),
    [
        (r"x_n^2", "msubsup/*", ["x", "n", "2"]),
        (r"\hat\mu_k", "msub/*", ["μˆ", "k"]),
        (r"\sum_{n=1}^N x", "munderover/*", ["∑", "n=1", "N"]),
        (r"\operatorname*{arg\,max}_k x", "munder/*", ["arg\N{THIN SPACE}max", "k"]),
        (r"\int_0^1 x", "msubsup/*", ["∫", "0", "1"]),
        (r"\underbrace{a+b}_{\text{two words}}", "munder/*", ["a+b⏟", "two\N{NO-BREAK SPACE}words"]),
        (r"\frac12 3", "mrow/mfrac/*", ["1", "2"]),
        (r"\sqrt[3]{x}", "mroot/*", ["x", "3"]),
        (r"\mathbb{E}\mathcal{N}\boldsymbol\mu\mathbb{1}", "mi", ["𝔼", "𝒩", "𝝁", "𝟙"]),
        (r"\lVert x \rVert", "mo", ["‖", "‖"]),
        (r"\mathrm dx \textbf{a}", "*", ["d", "x", "a"]),
        (r"\begin{aligned} a &= b \\ c &\le d \end{aligned}", ".//mtd", ["a", "=b", "c", "≤d"]),
        (r"\begin{cases} 1 & x > 0 \\[4pt] 0 \end{cases}", ".//mtd", ["1", "x>0", "0"]),
        (r"x' = x''", "msup/*", ["x", "′", "x", "′′"]),
        (r"\mathrm{KL}(q \,\|\, p)", "*", ["KL", "(", "q", "", "‖", "", "p", ")"]),
    ],
)
def test_a_formula_has_these_parts(tex, formula, place, texts):
    found = tree(tex, formula).findall(f"mrow/{place}")
    assert ["".join(element.itertext()) for element in found] == texts


def test_a_function_stands_apart_from_letters_but_not_from_its_bracket(tex):
    assert [part.tag for part in tree(tex, r"2 \log p").find("mrow")] == ["mn", "mspace", "mi", "mspace", "mi"]
    assert [part.tag for part in tree(tex, r"\log(p)").find("mrow")] == ["mi", "mo", "mi", "mo"]


def test_a_sign_at_the_beginning_and_after_a_relation_is_no_difference(tex):
    forms = [part.get("form") for part in tree(tex, "-x = -y - z").find("mrow") if part.text == "−"]
    assert forms == ["prefix", "prefix", None]


def test_limits_stand_beside_in_a_line_and_below_in_a_block(tex):
    for is_block in (False, True):
        element = tree(tex, r"\max_k x_k", is_block)
        assert element.get("display") == ("block" if is_block else None)
        assert element.find("mrow/munder/mo").get("movablelimits") == "true"


OPEN = (r"\left( x", r"\frac{1}", r"{x", r"x}", r"a & b", r"\left x \right)", r"\text{x", "^2")


@pytest.mark.parametrize(
    "formula", [*OPEN, r"\argmax_k", r"\begin{tabular} \end{tabular}", r"\begin{matrix} \end{cases}"]
)
def test_what_is_not_known_or_not_closed_is_an_error(tex, formula):
    with pytest.raises(ValueError, match=r"known|expected|stands|delimiter"):
        tex.mathml(formula, True)
