"""The directive ``speed``: a table of measured speeds, from files in ``results/`` that the benchmarks wrote.

```{speed} steps
:files: benchmarks/step-fp32 benchmarks/step-bf16
```
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aae.bench import step as bench
from aae.reproduction.results import with_std
from aae.reproduction.tables import markdown

FOLDER = Path(__file__).parents[2] / "results"


def steps(files: list[list[dict[str, Any]]]) -> str:
    """Write what ``aae bench RECIPE --json`` printed."""
    results = [result for found in files for result in found]
    return markdown(["", *(f"`{result['recipe']}`" for result in results)], bench.lines(results))


def parzen(files: list[dict[str, Any]]) -> str:
    """Write what ``aae bench parzen --json`` printed."""
    titles = [
        "samples x rows",
        "time",
        "matrix products alone",
        "fraction of the roofline",
        "peak memory",
        "scikit-learn's time",
    ]
    rows = [
        [
            f"{found['n_samples']:,} x {found['n_test']:,}",
            f"{found['seconds']:.2f} s",
            f"{found['matmul_seconds']:.2f} s",
            f"{found['fraction_of_roofline']:.1%}",
            f"{found['peak_memory_mb']:.0f} MB",
            f"{found['kernel_density_seconds']:.0f} s, {found['speed_up']:.0f} times",
        ]
        for found in files
    ]
    return markdown(titles, rows)


def peers(files: list[dict[str, Any]]) -> str:
    """Write what ``benchmarks/pythae_comparison.py`` found."""
    rows = [
        [name, found["optimizer"], f"{rate:,.0f}", f"{found['ratio_to_pythae'].get(name, 1):.2f}"]
        for found in files
        for name, rate in found["samples_per_second"].items()
    ]
    return markdown(["library", "optimizer", "samples per second", "times pythae"], rows)


def processes(files: list[dict[str, Any]]) -> str:
    """Write what ``benchmarks/processes.py`` found."""
    rows = [[found["recipe"], found["precision"], f"{found['batch_size']}", f"{found['ratio']:.2f}"] for found in files]
    return markdown(["recipe", "precision", "mini-batch", "two processes, times one process"], rows)


def estimators(files: list[dict[str, Any]]) -> str:
    """Write what ``benchmarks/estimator_speed.py`` found; what a later file has of an estimator and a data set counts."""
    rows = []
    for one in {(one["estimator"], one["data"]): one for found in files for one in found["results"]}.values():
        before, after = one["before"], one["after"]
        rows.append(
            [
                f"`{one['estimator']}`",
                one["data"],
                *(f"{statistics.median(version['seconds']):.1f}" for version in (before, after)),
                f"{one['times_faster']:.1f}",
                *(f"{statistics.fmean(version['scores']):.1f}" for version in (before, after)),
            ]
        )
    return markdown(["estimator", "data", "seconds before", "now", "times", "score before", "now"], rows)


def time_to(files: list[list[dict[str, Any]]]) -> str:
    """Write what ``aae bench RECIPE --time-to METRIC=VALUE --json`` printed, or what histories of runs say."""
    rows = [
        [
            f"`{one['recipe']}`",
            f"{one['target']:g}",
            ("" if one["reached"] else "not in ") + f"{one.get('core_minutes', one['minutes']):.1f}",
            f"{one['epochs']}",
            f"{one['best']:.2f}",
        ]
        for found in files
        for one in found
    ]
    return markdown(["recipe", "validation error wanted, %", "minutes on one core", "epochs", "error then, %"], rows)


def sweeps(files: list[dict[str, Any]]) -> str:
    """Write what ``benchmarks/sweep_acceptance.py`` found."""
    rows = [
        [
            name,
            f"{one['trainings']}",
            ", ".join(map(str, one.get("finished_at_kills", []))) or "-",
            f"{one['trained_again']}" if "trained_again" in one else "-",
            ", ".join(f"{key.split('.')[-1]} {value}" for key, value in one["best"]["settings"].items()),
            f"{one['best']['mean']:.2f}",
        ]
        for name, one in files[0]["results"].items()
    ]
    titles = [
        "sweep",
        "trainings",
        "finished when killed",
        "of those trained again",
        "best setting",
        "validation error, %",
    ]
    return markdown(titles, rows)


def search(files: list[dict[str, Any]]) -> str:
    """Write what ``benchmarks/sweep_search.py`` found."""
    rows = [
        [found["data"], f"{found['trials']}, {found['pruned']}", f"{found['rows_apart']}", f"{len(found['seeds'])}"]
        + [with_std(found["results"][name], 2) for name in ("defaults", "search")]
        for found in files
    ]
    titles = [
        "data",
        "trials, pruned",
        "rows apart",
        "seeds",
        "error with the defaults, %",
        "with the best of the search, %",
    ]
    return markdown(titles, rows)


def errors(files: list[dict[str, Any]]) -> str:
    """Write the error of semi-supervised results, by the precision they were trained in."""
    rows = [
        [
            found["recipe"],
            found["precision"],
            f"{found['epochs']}",
            f"{len(found['seeds'])}",
            with_std(found["metrics"]["test_error_percent"], 2),
        ]
        for found in files
    ]
    return markdown(["recipe", "precision", "epochs", "seeds", "test error, %"], rows)


TABLES: dict[str, Callable[[list[Any]], str]] = {
    "steps": steps,
    "parzen": parzen,
    "peers": peers,
    "processes": processes,
    "errors": errors,
    "estimators": estimators,
    "time_to": time_to,
    "sweeps": sweeps,
    "search": search,
}


class Speed(SphinxDirective):
    """Insert the table."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"files": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown table in place."""
        paths = [FOLDER / f"{name}.json" for name in self.options["files"].split()]
        for path in paths:
            self.env.note_dependency(str(path))
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return self.parse_text_to_nodes(TABLES[self.arguments[0]](found))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("speed", Speed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
