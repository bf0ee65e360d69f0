"""Tables of measured numbers, made from the result files.

``python -m aae.reproduction.tables README.md REPRODUCTION.md`` renews those between the marks in a document.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aae.errors import InputError
from aae.evaluation.metrics import describe
from aae.files import write_text
from aae.reproduction import claims
from aae.reproduction.pictures import PICTURES, blocks
from aae.reproduction.reproduce import Outcome, comparison, names, plan
from aae.reproduction.results import ParzenResult, read, with_std


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


@dataclass(frozen=True)
class ResultTable:
    """A Markdown table of results: which recipes it lists, and a column for each of their metrics.

    Attributes
    ----------
    recipes : str
        Regular expression that matches the names of the recipes.
    columns : tuple of str
        Metrics (see `aae.evaluation.metrics`); a result without the first one is left out.
    paper : str, optional
        Metric whose value in the paper stands beside ours.
    baseline : bool
        Whether the metric ``NAME_baseline`` stands in brackets behind each value.
    epochs : int, optional
        The most that a run may have, where rows are compared that were trained equally long.
    titled : bool
        Whether the titles of the recipes stand beside their names.
    """

    recipes: str
    columns: tuple[str, ...]
    paper: str | None = None
    baseline: bool = False
    epochs: int | None = None
    titled: bool = True

    def markdown(self, results: Sequence[dict[str, Any]]) -> str:
        """Write the table; of runs that differ in length and seeds alone the longest, of these that with most seeds."""
        headings = self._with_paper([describe(name).heading for name in self.columns], "paper")
        what = ["what"] if self.titled else []
        titles = ["recipe", *what, *headings, "epochs", "seeds", "core-minutes a seed", "data"]
        listed = [
            result
            for result in results
            if re.fullmatch(self.recipes, result["recipe"])
            and self.columns[0] in result["metrics"]
            and result["epochs"] <= (self.epochs or result["epochs"])
        ]
        rows = [self._row(result) for _, result in sorted(_longest(listed).items())]
        return markdown(titles, rows) if rows else "Not measured yet."

    def _with_paper(self, cells: list[str], number: str) -> list[str]:
        """Put what belongs to the paper right behind the metric that it is beside."""
        if self.paper is None:
            return cells
        place = self.columns.index(self.paper) + 1
        return [*cells[:place], number, *cells[place:]]

    def _row(self, result: dict[str, Any]) -> list[str]:
        metrics = result["metrics"]
        cells = []
        for name in self.columns:
            text = with_std(metrics[name], describe(name).digits) if name in metrics else ""
            compared = metrics.get(f"{name}_baseline") if self.baseline else None
            cells.append(f"{text} ({describe(name).number(compared['mean'])})" if compared else text)
        number = None if self.paper is None else result["paper"].get(self.paper)
        shown = "" if number is None else describe(self.paper or "").number(number)
        return [
            f"`{result['recipe']}`",
            *([result["title"]] if self.titled else []),
            *self._with_paper(cells, shown),
            str(result["epochs"]),
            str(len(result["seeds"])),
            _core_minutes(result),
            result["data"],
        ]


def _longest(results: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Find by recipe and data set the longest run, of equally long ones that with most seeds."""
    ordered = sorted(results, key=lambda result: (result["epochs"], len(result["seeds"])))
    return {(result["recipe"], result["data"]): result for result in ordered}


def _core_minutes(result: dict[str, Any]) -> str:
    """Write the mean over seeds of the minutes that processors worked on a training, where it was measured, or a GPU did."""
    if " threads" not in result["device"]:
        wall = result.get("wall_seconds") or []
        model = re.sub(r"^NVIDIA | \d+GB.*$", "", result["device"])
        return f"{sum(wall) / len(wall) / 60:.1f} ({model})" if wall else ""
    measured = [seconds for seconds in result.get("cpu_seconds") or [] if seconds is not None]
    return f"{sum(measured) / len(measured) / 60:.1f}" if measured else ""


OF_POSTERIORS = (
    "parzen_log_likelihood_nats",
    "parzen_standard_error_nats",
    "energy_distance",
    "test_reconstruction",
    "frechet_distance",
    "precision_percent",
    "recall_percent",
)
TABLES = {
    "errors": ResultTable(
        r"demo.*|table2-.*",
        ("test_error_percent", "test_ece_percent"),
        paper="test_error_percent",
    ),
    "matching": ResultTable(
        r"figure[24].*",
        (
            "energy_distance",
            "sliced_wasserstein",
            "holes_percent",
            "label_placement_percent",
        ),
        baseline=True,
    ),
    "disentanglement": ResultTable(
        r"figure7.*",
        (
            "style_linear_probe_accuracy_percent",
            "style_linear_probe_chance_percent",
            "conditional_generation_accuracy_percent",
            "reference_classifier_accuracy_percent",
        ),
    ),
    "likelihoods": ResultTable(
        r"table1-.*",
        (
            "parzen_log_likelihood_nats",
            "parzen_standard_error_nats",
            "parzen_fine_log_likelihood_nats",
            "parzen_training_rows_nats",
            "parzen_centroids_nats",
            "frechet_distance",
            "precision_percent",
            "recall_percent",
        ),
        paper="parzen_log_likelihood_nats",
    ),
    "posteriors": ResultTable(
        r"table1-mnist(-gaussian|-universal)?",
        OF_POSTERIORS,
        baseline=True,
        epochs=15,
    ),
    "high-dimension": ResultTable(
        r"table1-mnist(-1000-dim)?",
        OF_POSTERIORS,
        baseline=True,
        epochs=15,
    ),
    "bounds": ResultTable(
        r".*",
        ("elbo_nats", "importance_weighted_bound_nats", "test_reconstruction"),
    ),
    "clusters": ResultTable(
        r"table3-.*",
        (
            "clustering_error_percent",
            "clustering_error_rounded_percent",
            "majority_vote_error_percent",
            "clustering_accuracy_hungarian_percent",
            "nmi",
            "ari",
            "clusters_in_use",
        ),
        paper="clustering_error_percent",
    ),
    "embeddings": ResultTable(
        r"figure11.*|umap|opentsne",
        (
            "knn_accuracy_percent",
            "trustworthiness",
            "continuity",
            "fracture_percent",
            "test_error_percent",
        ),
        paper="test_error_percent",
    ),
}


SUMMARY = (
    ("MNIST, 100 labels", "test_error_percent", "table2-mnist-100", "table2-mnist-100-consistent"),
    ("MNIST, 1000 labels", "test_error_percent", "table2-mnist-1000", "table2-mnist-1000-consistent"),
    ("MNIST, all labels", "test_error_percent", "table2-mnist-all", "table2-mnist-all-consistent"),
    ("16 clusters of MNIST", "clustering_error_percent", "table3-16", "table3-16-consistent"),
    ("30 clusters of MNIST", "clustering_error_percent", "table3-30", "table3-30-consistent"),
    ("MNIST in 2 dimensions, 100 labels", "test_error_percent", "figure11b", "figure11b-consistent"),
    ("MNIST in 2 dimensions, 1000 labels", "test_error_percent", "figure11a", "figure11a-consistent"),
    ("MNIST in 10 dimensions, 100 labels", "test_error_percent", "figure11d", "figure11d-consistent"),
    ("MNIST, 8-D Gaussian code", "parzen_log_likelihood_nats", "table1-mnist", "table1-mnist-tuned"),
)
"""What the paper measured, by which metric, and the recipes that measure it: the paper's, and ours that is the best."""


def summary(results: Sequence[dict[str, Any]]) -> str:
    """Write the paper's numbers beside those of its models as they are, and of ours, which have more than the paper has."""
    longest = _longest([result for result in results if result["data"] == "mnist"])
    rows = []
    for what, metric, *both in SUMMARY:
        known, (theirs, ours) = describe(metric), (longest.get((recipe, "mnist")) for recipe in both)
        if theirs is None or ours is None:
            continue
        row = [f"{what}: {known.heading}", known.number(theirs["paper"][metric])]
        for result in (theirs, ours):
            row += [with_std(result["metrics"][metric], known.digits), str(result["epochs"])]
        rows.append([*row, _core_minutes(ours), f"`{ours['recipe']}`"])
    titles = ["what", "paper", "its model here", "epochs", "ours", "epochs", "core-minutes a seed", "recipe"]
    return markdown(titles, rows) if rows else "Not measured yet."


def short_profile(results: Sequence[dict[str, Any]]) -> str:
    """Write what ``aae reproduce all --profile short`` measured: the paper's numbers beside ours, and the minutes of training."""
    found = {(result["recipe"], result["epochs"], len(result["seeds"]), result["data"]): result for result in results}
    rows, total = [], 0.0
    for name in names("all"):
        recipe, seeds = plan(name, "short")
        result = found.get((name, recipe.training.epochs, seeds, recipe.data.source))
        if result is None:
            continue
        minutes = sum(result["wall_seconds"]) / 60
        total += minutes
        for row in comparison([Outcome(recipe, seeds, result["metrics"])]):
            rows.append([f"`{row[0]}`", describe(row[1]).heading, *map(str, row[2:]), f"{minutes:.0f}"])
    titles = ["recipe", "metric", "paper", "ours", "epochs", "seeds", "minutes"]
    return markdown(titles, [*rows, ["total", "", "", "", "", "", f"{total:.0f}"]])


def many_samples(estimates: Sequence[dict[str, Any]]) -> str:
    """Write what ``aae parzen --record`` measured: the likelihood of one run by the number of samples."""
    titles = ["recipe", "samples", "Parzen, nats", "standard error", "sigma", "fine sigma, nats"]
    titles += ["seed", "epochs", "data", "minutes", "device"]
    rows = [
        [
            f"`{found['recipe']}`",
            f"{found['samples']:,}",
            f"{found['log_likelihood_nats']:.1f}",
            f"{found['standard_error_nats']:.1f}",
            f"{found['sigma']:.3f}",
            "" if found["fine_log_likelihood_nats"] is None else f"{found['fine_log_likelihood_nats']:.1f}",
            str(found["seed"]),
            str(found["epochs"]),
            found["data"],
            "" if found["seconds"] is None else f"{found['seconds'] / 60:.0f}",
            found["device"],
        ]
        for found in sorted(estimates, key=lambda found: (found["recipe"], found["samples"]))
        if not found.get("folds")
    ]
    return markdown(titles, rows) if rows else "Not measured yet."


def of_folds(estimates: Sequence[dict[str, Any]]) -> str:
    """Write what ``aae parzen --all-folds --record`` measured: the likelihood of the test rows of each fold of TFD."""
    folded = [found for found in estimates if found.get("folds")]
    if not folded:
        return "Not measured yet."
    folds = max(len(found["folds"]) for found in folded)
    titles = [
        "recipe",
        "samples",
        *(f"fold {k}" for k in range(folds)),
        "mean, nats",
        "standard error",
        "epochs",
        "data",
    ]
    rows = [
        [
            f"`{found['recipe']}`",
            f"{found['samples']:,}",
            *(f"{fold['log_likelihood_nats']:.1f}" for fold in found["folds"]),
            f"{found['log_likelihood_nats']:.1f}",
            f"{found['standard_error_nats']:.1f}",
            str(found["epochs"]),
            found["data"],
        ]
        for found in folded
    ]
    return markdown(titles, rows)


def renew(document: str, folder: Path) -> str:
    """Replace what stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` by the table of that name.

    Parameters
    ----------
    document : str
        Markdown.
    folder : Path
        The folder of results.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one of result files beside the document")
    results = read(folder)
    written = {name: table.markdown(results) for name, table in TABLES.items()}
    estimates = read(folder / "parzen", ParzenResult)
    written |= {
        "summary": summary(results),
        "short": short_profile(results),
        "samples": many_samples(estimates),
        "folds": of_folds(estimates),
    }
    written |= {name: claim.markdown(written[name]) for name, claim in claims.read().items()}
    written |= blocks(PICTURES)
    for name, table in written.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin in document and end in document:
            head, _, rest = document.partition(begin)
            document = f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return document


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        write_text(path, renew(path.read_text(encoding="utf-8"), path.parent / "results"))
