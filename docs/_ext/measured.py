"""Directives that make tables from ``results/`` when the guide is built.

``measured`` is a table of recipes, ours beside the paper's; ``beside`` one of a benchmark, ours beside other methods::

    ```{measured} errors
    :recipes: table2-.*
    ```

    ```{beside} estimators
    :task: 2-D map
    ```
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aae.reproduction import results, tables

RESULTS = Path(__file__).parents[2] / "results"


def table(name: str, recipes: str | None = None, folder: Path = RESULTS) -> str:
    """Write one of `aae.reproduction.tables.TABLES` as Markdown, of the recipes that match a regular expression."""
    shown = tables.TABLES[name]
    if recipes is not None:
        shown = dataclasses.replace(shown, recipes=recipes)
    return shown.markdown(results.read(folder))


MEASURES = {
    "error_percent": ("error, %", 1),
    "nmi": ("NMI", 3),
    "ari": ("ARI", 3),
    "clustering_accuracy_hungarian_percent": ("Hungarian accuracy, %", 1),
    "clustering_error_percent": ("error of the paper's protocol, %", 1),
    "clusters_in_use": ("clusters in use", 1),
    "knn_accuracy_percent": ("k-NN accuracy, %", 1),
    "trustworthiness": ("trustworthiness", 3),
    "auroc_mean": ("AUROC, mean over the digits left out", 3),
    "auroc_min": ("AUROC, lowest of them", 3),
}
"""Title and digits of each measure of a benchmark; a task is sorted by its first one."""


def comparison(name: str, task: str, folder: Path = RESULTS) -> str:
    """Write one task of a benchmark as Markdown, the best method first; errors are best when small."""
    path = folder / "benchmarks" / f"{name}.json"
    if not path.exists():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    methods = found["results"][task]
    measures = [key for key in MEASURES if any(key in summary for summary in methods.values())]
    first = measures[0]
    ranked = sorted(methods, key=lambda m: methods[m][first]["mean"], reverse="error" not in first)
    rows = []
    for method in ranked:
        label = f"**{method}**" if "AAE" in method else method
        found_of = methods[method]
        cells = [results.with_std(found_of[key], MEASURES[key][1]) if key in found_of else "" for key in measures]
        rows.append([label, *cells])
    made = tables.markdown(["method", *(MEASURES[key][0] for key in measures)], rows)
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    seeds = f"{len(found['seeds'])} seeds, mean ± standard deviation, {found['split']} rows of the 8x8 digits"
    return f"{made}\n\n*{seeds}; {versions}. Made by `{found['command']}`.*"


class Beside(SphinxDirective):
    """Insert the table of a benchmark."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"task": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown table in place."""
        for path in sorted(RESULTS.glob("benchmarks/*.json")):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(comparison(self.arguments[0], self.options["task"]))


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
    """Register the directives."""
    app.add_directive("measured", Measured)
    app.add_directive("beside", Beside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
