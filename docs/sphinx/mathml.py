"""Formulas as MathML, which browsers draw by themselves: no script, no font."""

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

CONVERTER = LatexToMathML()


def converted(node: nodes.Node, is_block: bool) -> str:
    try:
        return CONVERTER.convert_with_local_state(node.astext(), displaystyle=is_block)
    except LatexError as error:
        logging.getLogger(__name__).warning("formula %s: %s", node.astext(), error, location=node)
        return ""


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(converted(node, False))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{converted(node, True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
