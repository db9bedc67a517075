"""Settings of the documentation: sphinx-build -W docs docs/_build."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "nspkit"
author = "nspkit contributors"
copyright = "nspkit contributors"
version = release = version_of("nspkit")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]  # those are distributions, not pages

# Docstrings write `name` for code, as Markdown does; without a role that would be italics.
default_role = "code"

# Every heading up to the third level can be linked to, as #its-text.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# One style for docstrings.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# "Attributes:" of a class becomes a list; as directives they would double what autodoc finds.
napoleon_use_ivar = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # the default as it is written, not as it prints
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"nspkit {release}"
