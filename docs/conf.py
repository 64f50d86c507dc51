"""How Sphinx makes the site: `make docs` writes it to build/docs, warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "extensions"), str(Path(__file__).parents[1])]

from weathersvq import __version__  # noqa: E402

project = "weathersvq"
author = "the weathersvq contributors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "reference",
    "repository",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["extensions"]

# Links to a heading, such as preparing.md#derived-variables, as GitHub makes them.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "attrs_block"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# Docstrings write names in single backticks.
default_role = "code"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
# The attributes of a dataclass are in its signature already.
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"weathersvq {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
