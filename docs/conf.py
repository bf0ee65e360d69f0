"""How the user guide is built; `make docs` does it."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import aae

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
os.environ.setdefault("MPLBACKEND", "agg")

project = "adversarial-autoencoder"
author = "the adversarial-autoencoder authors"
release = version = aae.__version__
html_title = "adversarial-autoencoder"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "architectures",
    "dark_figures",
    "mathml",
    "measured",
    "parameters",
    "recipe_keys",
    "speed",
]
exclude_patterns = ["_build", "_ext", "_templates", "examples", "gallery/*.ipynb", "gallery/*.py", "gallery/*.json"]
nitpicky = False
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE / "examples")],
    "gallery_dirs": [str(HERE / "gallery")],
    "filename_pattern": r"\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "plot_gallery": True,
    "image_scrapers": ("dark_figures.scraper",),
    "min_reported_time": 10**6,  # times belong to the machine, not to the page
    "write_computation_times": False,
    "matplotlib_animations": False,
}

html_theme = "furo"
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["guide.css"]
templates_path = ["_templates"]


def escape(app: Any, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Keep `(n, *shape)` and `(n_features_in_,)` from being read as markup, and links inside scikit-learn's guide as text."""
    for number, line in enumerate(lines):
        line = re.sub(r"(?<=\()(\w+)_(?=,)", r"\1\\_", re.sub(r"(?<=[(, ])\*shape", r"\\*shape", line))
        lines[number] = re.sub(r":ref:`([^<`]+?)\s*<[^>]*>`", r"\1", line)


def setup(app: Any) -> None:
    """Escape before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", escape, priority=400)
