"""Directives that make tables from ``results/`` when the guide is built.

``measured`` is a table of recipes, ours beside the paper's; ``beside`` one of a benchmark, ours beside other methods::

    ```{measured} errors
    :recipes: table2-.*
    ```

    ```{beside} estimators
    :task: 2-D map
    ```

``metrics`` is a table of metrics and what they mean.
"""

import dataclasses
import json
import re
import statistics
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aae.evaluation.metrics import METRICS, describe
from aae.reproduction import results, tables

RESULTS = Path(__file__).parents[2] / "results"


def table(name: str, recipes: str | None = None, folder: Path = RESULTS) -> str:
    """Write one of `aae.reproduction.tables.TABLES` as Markdown, without titles, of recipes that match a regular expression."""
    shown = tables.TABLES[name]
    shown = dataclasses.replace(shown, titled=False, recipes=shown.recipes if recipes is None else recipes)
    return shown.markdown(results.read(folder))


def comparison(name: str, task: str, folder: Path = RESULTS) -> str:
    """Write one task of a benchmark as Markdown, the best method by its first measure first."""
    path = folder / "benchmarks" / f"{name}.json"
    if not path.exists():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    methods = found["results"][task]
    measures = list(dict.fromkeys(name for summary in methods.values() for name in summary))
    first = measures[0]
    ranked = sorted(methods, key=lambda m: methods[m][first]["mean"], reverse=describe(first).direction == "higher")
    rows = []
    for method in ranked:
        label = f"**{method}**" if "AAE" in method else method
        found_of = methods[method]
        cells = [results.with_std(found_of[m], _digits(m)) if m in found_of else "" for m in measures]
        rows.append([label, *cells])
    made = tables.markdown(["method", *(describe(measure).heading for measure in measures)], rows)
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    rows_of = "the 8x8 digits" if found["data"] == "digits" else found["data"]
    count = len(found["seeds"])
    seeds = "one seed" if count == 1 else f"{count} seeds, mean ± standard deviation"
    seeds = f"{seeds}, {found['split']} rows of {rows_of}"
    return f"{made}\n\n*{seeds}; {versions}. Made by `{found['command']}`.*"


def _digits(measure: str) -> int:
    digits = describe(measure).digits
    return 2 if digits is None else digits


def metrics_table(logged: bool) -> str:
    """Write the metrics that are logged in training, or those of a finished run, as Markdown."""
    rows = [
        [f"`{name}`", metric.heading, "" if metric.direction == "none" else metric.direction, metric.explanation]
        for name, metric in METRICS.items()
        if metric.logged == logged
    ]
    return tables.markdown(["metric", "title", "better", "what it is"], rows)


class Metrics(SphinxDirective):
    """Insert a table of metrics: ``logged``, ``evaluated``, or the names of those of the validation split."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown in place."""
        if self.arguments[0] == "validated":
            names = [f"`validation_{name}`" for name, metric in METRICS.items() if metric.validated]
            return self.parse_text_to_nodes(", ".join(names) + ".")
        return self.parse_text_to_nodes(metrics_table(self.arguments[0] == "logged"))


def on_tables(task: str, report: str, folder: Path = RESULTS) -> str:
    """Write what ``benchmarks/tables.py`` found of a task as Markdown: percent by table and method, and mean ranks."""
    found = json.loads((folder / "benchmarks" / f"{report}.json").read_text(encoding="utf-8"))
    ranks = found["mean_ranks"][task]
    of = found["tasks"][task]
    parts = [part for part in next(iter(of.values())) if part not in (*ranks, "seconds")]  # of ours, without a rank
    methods = [*ranks, *parts]
    rows = []
    for name, measured in of.items():
        means = {method: statistics.mean(measured[method]) for method in methods}
        best = max(means[method] for method in ranks)
        cells = [f"**{means[m]:.1f}**" if m in ranks and means[m] == best else f"{means[m]:.1f}" for m in methods]
        rows.append([name.removeprefix("keel:"), *cells, f"{statistics.mean(measured['seconds']):.1f}"])
    over = {method: statistics.mean(statistics.mean(of[name][method]) for name in of) for method in methods}
    rows.append(["mean", *(f"{over[method]:.1f}" for method in methods), ""])
    rows.append(["mean rank", *(f"{ranks[method]:.1f}" if method in ranks else "" for method in methods), ""])
    heads = [re.sub("(?<=[a-z])(?=[A-Z(])", "\u200b", method) for method in methods]  # where a long name may break
    made = tables.markdown(["table", *heads, "our seconds"], rows)
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    return (
        f"{made}\n\n*Percent, mean of {len(found['seeds'])} seeds; {versions}; one core. Made by `{found['command']}`.*"
    )


class OnTables(SphinxDirective):
    """Insert the table of a task of ``benchmarks/tables.py``, from a file in ``results/benchmarks``."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the table."""
        return self.parse_text_to_nodes(on_tables(*self.arguments))


def ablation(path: Path = RESULTS / "benchmarks" / "ablation.json") -> str:
    """Write what ``benchmarks/ablation.py`` found as Markdown: a row for each choice of losses."""
    if not path.exists():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    metric = describe(found["metric"])
    rows = []
    for name, measures in found["results"].items():
        values, seconds = measures[found["metric"]], statistics.mean(measures["cpu_seconds"])
        summary = results.over_seeds(values)
        rows.append(
            [name, results.with_std(summary, metric.digits), f"{max(values):.{metric.digits}f}", f"{seconds:.0f}"]
        )
    made = tables.markdown(["losses", metric.heading, "worst seed", "core-seconds"], rows)
    return (
        f"{made}\n\n*`{found['recipe']}`, {found['epochs']} epochs, {len(found['seeds'])} seeds, mean ± standard deviation; "
        f"{found['device']}. Made by `{found['command']}`.*"
    )


class Ablation(SphinxDirective):
    """Insert the table of the ablation."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the table."""
        return self.parse_text_to_nodes(ablation())


COLUMNS = {
    "log_likelihood": ("log-likelihood, nats a gene", 3),
    "knn_type_percent": ("type, nearest neighbours, %", 1),
    "knn_batch_percent": ("batch, nearest neighbours, %", 1),
    "clusters_ari": ("clusters, ARI", 2),
    "accuracy_percent": ("classes, five labels each, %", 1),
    "imputed_categories_percent": ("imputed categories, %", 1),
    "imputed_numbers_rmse": ("imputed numbers, RMSE", 2),
    "seconds": ("core-seconds", 0),
}


def of_columns(cells: bool, path: Path = RESULTS / "benchmarks" / "columns.json") -> str:
    """Write what ``benchmarks/columns.py`` found as Markdown, of cells or of mixed tables."""
    if not path.exists():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    rows, measures = [], []
    for task, methods in found["results"].items():
        if (task == "cells") != cells:
            continue
        measures = list(next(iter(methods.values())))
        for method, values in methods.items():
            shown = [
                f"{statistics.mean(values[m]):.0f}"
                if m == "seconds"
                else results.with_std(results.over_seeds(values[m]), COLUMNS[m][1])
                for m in measures
            ]
            rows.append([*([] if cells else [task]), method, *shown])
    if not rows:
        return "Not measured yet."
    heads = [*([] if cells else ["table"]), "columns", *(COLUMNS[m][0] for m in measures)]
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    return (
        f"{tables.markdown(heads, rows)}\n\n*{len(found['seeds'])} seeds, mean ± standard deviation, rows that were not trained "
        f"on; {versions}; one core. Made by `{found['command']}`.*"
    )


class OfColumns(SphinxDirective):
    """Insert the table of ``cells``, or of ``mixed`` tables, from ``benchmarks/columns.py``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of the table."""
        return self.parse_text_to_nodes(of_columns(self.arguments[0] == "cells"))


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
        made = self.parse_text_to_nodes(table(self.arguments[0], self.options.get("recipes")))
        for node in (found for one in made for found in one.findall(nodes.table)):
            node["classes"].append("measured")
        return made


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("measured", Measured)
    app.add_directive("of-columns", OfColumns)
    app.add_directive("beside", Beside)
    app.add_directive("on-tables", OnTables)
    app.add_directive("ablation", Ablation)
    app.add_directive("metrics", Metrics)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
