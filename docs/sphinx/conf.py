"""How Sphinx makes the site: of the Markdown where it lies, so that its links work here and there."""

import sys
from pathlib import Path

from pmodel.commands.deferred import defer_imports

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
defer_imports()  # of what the API reference does not need

project = html_title = "pmodel"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
extensions += ["chinese", "docstrings", "listings", "mathml", "notebooks"]  # the files beside this one

root_doc = "docs/index"
include_patterns = ["docs/**", "zoo/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
exclude_patterns = [folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name not in ("docs", "zoo")]
exclude_patterns += ["docs/own_project/**", "docs/sphinx/**"]
suppress_warnings = ["ref.python"]  # of a type in a signature, where two classes have its name

# As on GitHub: formulas between dollars, HTML's <img>, links to headings.
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
highlight_language = "text"
html_math_renderer = "mathml"
html_search_language = "en_zh"

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_inherit_docstrings = False  # of Lightning, in a markup of its own
toc_object_entries = False  # modules are enough at the side of a page, and it is built in half of the time
maximum_signature_line_length = 90
python_use_unqualified_type_names = True

html_static_path, html_favicon = ["static"], "static/icon.svg"
html_css_files = ["style.css"]
html_js_files = [("local.js", {"priority": 200})]
templates_path = ["templates"]
html_additional_pages = {"index": "forward.html"}
html_copy_source = False
html_show_copyright = False
html_use_index = html_domain_indices = False  # the search finds names, too
