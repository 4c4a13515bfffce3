"""How the documentation is built: `uv run --group docs sphinx-build -W docs build/docs`."""

import os
import sys
from pathlib import Path

os.environ["MEMBUDGET_PURE"] = "1"  # Signatures as plain Python has them, compiled or not.
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from membudget import __version__

project = "membudget"
author = "The membudget authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# A chapter may have no pages yet; `suppress_warnings` does not know of this one.

smartquotes = False  # What a command prints is copied.
nitpicky = True
# Our own public names are checked: annotations name what is Python's, or shortened, as well.
nitpick_ignore_regex = [("py:.*", r"(?!membudget\.(\w+|[A-Z]\w*\.\w+)$).*")]
default_role = "code"  # Docstrings put code between single backticks.
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "inherited-members": "object,int,BaseException,ABCMeta"}
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"membudget {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = html_show_sourcelink = False
pygments_style, pygments_dark_style = "tango", "monokai"
