"""Builds the site of these pages, without a network.

    uv run docs/build_site.py            # into site/; open site/index.html
    uv run docs/build_site.py FOLDER     # into another folder

Each warning is an error: a link that leads nowhere, a picture that is missing, a page that nobody finds.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the API reference imports torch, and computes nothing

from sphinx.cmd.build import build_main

ROOT = Path(__file__).parents[1]


def main(folder: str = str(ROOT / "site")) -> int:
    # All pages anew: a page that has not changed since the last time would be silent about its warnings.
    options = ["--builder=html", "--fresh-env", "--write-all", "--fail-on-warning", "--quiet"]
    return build_main([*options, f"--conf-dir={ROOT / 'docs' / 'sphinx'}", str(ROOT), folder])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
