"""Sphinx configuration."""

import configparser
import os
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
os.environ.setdefault("MPLBACKEND", "Agg")

import torch  # noqa: E402
from inventories import made  # noqa: E402
from public import aliases  # noqa: E402

import torch_synflow  # noqa: E402

torch.set_num_threads(1)  # small networks: a second thread only waits, up to a hundred times as long on a busy machine
# of optional parts of what the examples import, and of Lightning about its own workers
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=FutureWarning)

project = "torch_synflow"
author = "The torch_synflow authors"
copyright = "2026, the torch_synflow authors"
release = version = torch_synflow.__version__

# The project's address is one setting, "url" in setup.cfg; without it no page links to a repository.
settings = configparser.ConfigParser()
settings.read(HERE.parent / "setup.cfg")
address = settings.get("metadata", "url", fallback="")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "internals",
    "measured",
    "numbers_of_results",
    "operations",
    "public",
]
exclude_patterns = [
    *("_build", "_ext", "inventories", "sg_execution_times.rst"),
    *(f"{section}/*.{ending}" for section in ("tutorials", "gallery") for ending in ("ipynb", "py")),
]
html_theme = "furo"
pygments_dark_style = "monokai"  # furo's own underlines every import
html_logo = html_favicon = "_static/logo.svg"
html_theme_options = (
    {"source_repository": address, "source_branch": "main", "source_directory": "docs/"} if address else {}
)
html_title = f"torch_synflow {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False

autosummary_generate = False  # the tables alone; pages are written by hand
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_type_aliases = {name.rpartition(".")[2]: f"~{name}" for name in aliases()}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
myst_heading_anchors = 3

# No network is needed: the addresses are in docs/inventories.
intersphinx_mapping = made(HERE / "inventories", HERE / "_build" / "inventories")

sphinx_gallery_conf = {
    "examples_dirs": ["../tutorials", "../examples"],
    "gallery_dirs": ["tutorials", "gallery"],
    "filename_pattern": r"/plot_|/tutorials/\w+\.py$",  # run; the others are shown
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "copyfile_regex": r"index\.rst",  # the cards of the tutorials
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "min_reported_time": 1000,
    "show_memory": False,
    "show_signature": False,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "plot_gallery": True,
    "write_computation_times": False,
}

# Types of the engine, which users meet only in signatures, and generic names of ours in annotations.
nitpick_ignore_regex = [
    (r"py:.*", r"(AddUp|Axes|BasePruningMethod|LayerDensities|Module|ProcessGroup|Shards)"),
    (r"py:.*", r"(Any|Tensor|Network|Weights|Task|Pair|Method|LossFunction|Schedule|Callback|optional)"),
    (r"py:.*", r"torch_synflow\.[\w.]+\.(Network|Task|Entry|Pair|Callback|Method|Model)"),
    (r"py:.*", r"(nn|numbers)\..*"),
]
