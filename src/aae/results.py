"""Measured numbers: JSON files, one per recipe, length and hardware, and the tables made from them.

``python -m aae.results README.md REPRODUCTION.md`` renews the tables between the marks in a document.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from aae import recipes
from aae.errors import InputError
from aae.experiment import command
from aae.measure import Report
from aae.run import Run
from aae.training.checkpoints import write_json, write_text

Summary = dict[str, dict[str, Any]]


def summarize(reports: Sequence[dict[str, float]]) -> Summary:
    """Collect metrics over seeds: ``values`` by seed, ``mean`` and ``sd`` (n - 1; 0 for a single seed).

    Metrics that not every seed has are left out.
    """
    summary: Summary = {}
    for name in reports[0]:
        if all(name in report for report in reports):
            values = [report[name] for report in reports]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            summary[name] = {"values": values, "mean": float(np.mean(values)), "sd": sd}
    return summary


def record(runs: Sequence[Run], reports: Sequence[Report], folder: str | Path) -> Path:
    """Write the result of one recipe, measured over seeds, as ``RECIPE.EPOCHSep.HARDWARE.json``.

    On data other than the recipe's own the name of the data follows that of the recipe.

    Parameters
    ----------
    runs : sequence of Run
        The same recipe with different seeds.
    reports : sequence of dict
        What `measure.evaluate` gave for each.
    folder : str or Path
        Created if needed; a file of the same name is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If they were not measured on the test split, the runs differ in recipe or epochs, or their seeds are not in a row.
    """
    first = runs[0]
    if reports[0]["split"] != "test":
        raise InputError(f"results are measured on the test split; found {reports[0]['split']}")
    for seed, (run, report) in enumerate(zip(runs, reports, strict=True), first.recipe.training.seed):
        if run.recipe.training.seed != seed:
            raise InputError(f"{run.folder.path}: seed is {run.recipe.training.seed}; expected {seed}, seeds in a row")
        for key in ("recipe", "epochs", "split"):
            if report[key] != reports[0][key]:
                raise InputError(f"{run.folder.path}: {key} is {report[key]}; the first run has {reports[0][key]}")
    result = {
        "recipe": first.recipe.name,
        "title": first.recipe.title,
        "epochs": first.facts["epochs"],
        "seeds": [run.recipe.training.seed for run in runs],
        "split": reports[0]["split"],
        "metrics": summarize([report["metrics"] for report in reports]),
        "paper": first.recipe.paper,
        "data": first.recipe.data.source,
        **{key: first.facts[key] for key in ("device", "version", "torch")},
        "precision": first.recipe.training.precision,
        "wall_seconds": [run.facts["seconds"] for run in runs],
        "command": command(first.recipe) + (f" --seeds {len(runs)}" if len(runs) > 1 else ""),
        "date": datetime.now(UTC).date().isoformat(),
    }
    own_data = first.recipe.name in recipes.names() and recipes.read(first.recipe.name).data.source == result["data"]
    data = "" if own_data else f".{Path(result['data']).stem}"
    path = Path(folder) / f"{first.recipe.name}{data}.{result['epochs']}ep.{hardware(first.facts['device'])}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    return path


def hardware(device: str) -> str:
    """Shorten the description of a device for a file name: ``h100``, ``cpu2``."""
    threads = re.search(r"(\d+) threads?$", device)
    if threads:
        return f"cpu{threads[1]}"
    words = [word for word in re.split(r"[^A-Za-z0-9]+", device) if any(c.isdigit() for c in word)]
    return (words[0] if words else re.sub(r"[^A-Za-z0-9]+", "-", device)).lower()


def read(folder: str | Path) -> list[dict[str, Any]]:
    """Read all results of a folder, by recipe and epochs."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).glob("*.json")]
    return sorted(found, key=lambda result: (result["recipe"], result["epochs"]))


@dataclass(frozen=True)
class ResultTable:
    """A Markdown table of results: which recipes it lists, and a column for each of their metrics.

    Attributes
    ----------
    recipes : str
        Regular expression that matches the names of the recipes.
    columns : dict of str to tuple
        From metric to the title of its column and the number of digits; a result without the first one is left out.
    paper : str, optional
        Metric whose value in the paper stands beside ours.
    baseline : bool
        Whether the metric ``NAME_baseline`` stands in brackets behind each value.
    """

    recipes: str
    columns: dict[str, tuple[str, int]]
    paper: str | None = None
    baseline: bool = False

    def markdown(self, results: Sequence[dict[str, Any]]) -> str:
        """Write the table."""
        paper = ["paper"] if self.paper else []
        titles = ["recipe", "what", *(title for title, _ in self.columns.values()), *paper, "epochs", "seeds", "data"]
        lines = [titles, ["---"] * len(titles)]
        for result in results:
            if re.fullmatch(self.recipes, result["recipe"]) and next(iter(self.columns)) in result["metrics"]:
                lines.append(self._row(result))
        if len(lines) == 2:
            return "Not measured yet."
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _row(self, result: dict[str, Any]) -> list[str]:
        metrics = result["metrics"]
        cells = []
        for name, (_, digits) in self.columns.items():
            text = _with_sd(metrics[name], digits) if name in metrics else ""
            compared = metrics.get(f"{name}_baseline") if self.baseline else None
            cells.append(f"{text} ({compared['mean']:.{digits}f})" if compared else text)
        if self.paper is not None:
            number = result["paper"].get(self.paper)
            cells.append("" if number is None else f"{number:.{self.columns[self.paper][1]}f}")
        return [
            f"`{result['recipe']}`",
            result["title"],
            *cells,
            str(result["epochs"]),
            str(len(result["seeds"])),
            result["data"],
        ]


TABLES = {
    "errors": ResultTable(
        r"demo.*|table2-.*",
        {"test_error_percent": ("test error, %", 2), "test_ece_percent": ("calibration error, %", 2)},
        paper="test_error_percent",
    ),
    "matching": ResultTable(
        r"figure[24].*",
        {
            "energy_distance": ("energy distance", 3),
            "sliced_wasserstein": ("sliced Wasserstein", 3),
            "holes_percent": ("holes, %", 2),
            "label_placement_percent": ("in the part of their label, %", 1),
        },
        baseline=True,
    ),
    "disentanglement": ResultTable(
        r"figure7.*",
        {
            "style_label_accuracy_percent": ("label from style, %", 1),
            "style_label_chance_percent": ("chance, %", 1),
            "label_control_percent": ("label obeyed, %", 1),
            "judge_accuracy_percent": ("judge on real rows, %", 1),
        },
    ),
    "likelihoods": ResultTable(
        r"table1-.*",
        {
            "parzen_log_likelihood_nats": ("Parzen, nats", 1),
            "parzen_standard_error_nats": ("standard error", 1),
            "parzen_fine_log_likelihood_nats": ("fine sigma, nats", 1),
            "parzen_training_rows_nats": ("training rows, nats", 1),
            "parzen_centroids_nats": ("centroids, nats", 1),
            "frechet_distance": ("Fréchet distance", 1),
            "precision_percent": ("precision, %", 1),
            "recall_percent": ("recall, %", 1),
        },
        paper="parzen_log_likelihood_nats",
    ),
    "clusters": ResultTable(
        r"table3-.*",
        {
            "clustering_error_percent": ("error, %", 2),
            "majority_vote_error_percent": ("majority vote error, %", 2),
            "clustering_accuracy_hungarian_percent": ("Hungarian accuracy, %", 2),
            "nmi": ("NMI", 3),
            "ari": ("ARI", 3),
            "clusters_in_use": ("clusters in use", 1),
        },
        paper="clustering_error_percent",
    ),
    "embeddings": ResultTable(
        r"figure11.*|umap|opentsne",
        {
            "knn_accuracy_percent": ("k-NN accuracy, %", 2),
            "trustworthiness": ("trustworthiness", 3),
            "continuity": ("continuity", 3),
            "test_error_percent": ("test error, %", 2),
        },
        paper="test_error_percent",
    ),
}


def renew(document: str, results: Sequence[dict[str, Any]]) -> str:
    """Replace what stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` by the table of that name."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin in document and end in document:
            head, _, rest = document.partition(begin)
            document = f"{head}{begin}\n{table.markdown(results)}\n{end}{rest.partition(end)[2]}"
    return document


def _with_sd(metric: dict[str, Any], digits: int) -> str:
    sd = f" ± {metric['sd']:.{digits}f}" if len(metric["values"]) > 1 else ""
    return f"{metric['mean']:.{digits}f}{sd}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        write_text(path, renew(path.read_text(encoding="utf-8"), read(path.parent / "results")))
