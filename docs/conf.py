"""Sphinx configuration."""

import torch_synflow

project = "torch_synflow"
author = "The torch_synflow authors"
copyright = "2026, the torch_synflow authors"
release = version = torch_synflow.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx-mathjax-offline"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"torch_synflow {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Torch's and Python's own inventories need a network at build time: their names stay plain text.
nitpick_ignore_regex = [
    (r"py:.*", r"torch($|\..*)"),
    (r"py:.*", r"(Any|Tensor|Network|Weights|Task|Pair|Method|LossFunction|Schedule|Callback|optional)"),
    (r"py:.*", r"(nn|numbers|collections|typing)\..*"),
    (
        r"py:.*",
        r"(bool|dict|float|int|list|str|tuple|type|object|None|TypeError|ValueError|ImportError|KeyboardInterrupt)",
    ),
    (r"py:.*", r"torch_synflow\.(scoring|parameters|saliency|iterative)\.(Network|Task|Entry|Pair|Callback|Method)"),
]
