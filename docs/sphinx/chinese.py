"""Pages in Chinese, and a search that finds English words by their stems, Chinese ones by pairs of characters."""

import re
from typing import Any

from docutils import nodes
from sphinx import search
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

HAN = r"\u3400-\u9fff\uf900-\ufaff"
RUN = re.compile(f"[{HAN}]+")


class EnglishAndChinese(SearchEnglish):
    """Chinese has no spaces between words: 聚类算法 is kept as 聚类, 类算 and 算法, and so is what is searched for."""

    lang = "en_zh"
    js_splitter_code = f"""
function splitQuery(query) {{
  const pairs = (run) => (run.length < 2 ? [run] : [...run].slice(1).map((_, i) => run.slice(i, i + 2)));
  return query
    .split(/[^\\p{{Letter}}\\p{{Number}}_]+/gu)
    .flatMap((word) => word.split(/([{HAN}]+)/u))
    .filter((part) => part)
    .flatMap((part) => (/[{HAN}]/u.test(part) ? pairs(part) : [part]));
}}
"""

    def split(self, input: str) -> list[str]:
        words = super().split(RUN.sub(" ", input))
        for run in RUN.findall(input):
            words += [run] if len(run) < 2 else [run[i : i + 2] for i in range(len(run) - 1)]
        return words


def say_so(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document) -> None:
    """A Chinese page says that it is one, by which a browser chooses fonts and line breaks; and no page leads to one of
    the other language as the next one, or the one before."""
    chinese = pagename.endswith(".zh")
    if chinese:
        context["language"] = "zh-CN"
    for side in ("prev", "next"):
        other = context.get(side)
        if other and (".zh.html" in other["link"]) != chinese:
            context[side] = None


def setup(app: Sphinx) -> dict[str, bool]:
    search.languages["en_zh"] = EnglishAndChinese
    app.connect("html-page-context", say_so)
    return {"parallel_read_safe": True}
