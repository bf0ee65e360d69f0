"""The directive ``measured``: a table of results, ours beside the paper's, made from ``results/`` when the guide is built.

::

    ```{measured} errors
    :recipes: table2-.*
    ```
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aae import results

RESULTS = Path(__file__).parents[2] / "results"


def table(name: str, recipes: str | None = None, folder: Path = RESULTS) -> str:
    """Write one of `aae.results.TABLES` as Markdown, of the recipes that match a regular expression."""
    shown = results.TABLES[name]
    if recipes is not None:
        shown = dataclasses.replace(shown, recipes=recipes)
    return shown.markdown(results.read(folder))


class Measured(SphinxDirective):
    """Insert the table."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"recipes": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown table in place."""
        for path in sorted(RESULTS.glob("*.json")):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(table(self.arguments[0], self.options.get("recipes")))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
