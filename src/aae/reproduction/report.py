"""A report of a run, or of the seeds of one: what was read, set and found, on one page that needs no network."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from aae import recipes
from aae.arrays import Array
from aae.data import Dataset
from aae.errors import InputError
from aae.evaluation.metrics import describe
from aae.figures.canvas import data_uri
from aae.files import output_file, write_text
from aae.reproduction.results import Summary, summarize, with_std
from aae.runs.evaluate import Report, evaluate, measured_rows, read_report
from aae.runs.plot import figures
from aae.runs.run import Run
from aae.runs.view import title
from aae.training.diagnostics import diagnose

DOTS = 110  # per inch, of figures in the page
MOSTLY_WRONG = 0.5  # part of a class that is taken for others
SIGNS = {r"\mid": "|", r"\sigma": "σ", r"\tfrac12": "½", r"\,": " "}
CAPTIONS = {
    "curves": "Losses and metrics by epoch. Of several seeds the line is the mean, and the band goes from lowest to highest.",
    "map": "Where held-out rows lie, along the principal axes of the code. Where the code has a label, each label has a place on "
    "a circle, and the style spreads the rows around it.",
    "codes": "Codes of held-out rows over samples of the prior: where training went well they cover the same region.",
    "embedding": "Held-out rows in the embedding, with the heads of the clusters.",
    "confusion": "True classes beside what was predicted, on held-out rows.",
    "samples": "What the model draws: images, the nearest training image beside the last of each row; or columns of a table.",
    "reconstructions": "Held-out values and what they become when they are encoded and decoded; on the line they are equal.",
    "style-and-content": "Each row keeps the style of the source, each column has one label.",
    "clusters": "What is in each cluster.",
    "grid": "What the decoder makes across the code space, at equal percentiles of the prior.",
    "manifold": "What the decoder makes across three components of the prior.",
    "walk": "What the decoder makes along the roll.",
}
OF_ALL_SEEDS = ("curves", "learning-curve")  # other figures are those of the first seed


@dataclass(frozen=True)
class RunReport:
    """What is known of a run, or of the seeds of one.

    Attributes
    ----------
    runs : sequence of Run
        By seed.
    reports : sequence of dict
        What `evaluate` found, by seed.
    summary : dict
        Mean and standard deviation of each metric over the seeds.
    confusion : array, (classes, classes), or None
        True classes beside predicted ones, summed over the seeds.
    """

    runs: Sequence[Run]
    reports: Sequence[Report]
    summary: Summary
    confusion: Array | None

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Return the metrics: name, heading, mean, standard deviation, the paper's number, explanation."""
        paper, lines = self.reports[0]["paper"], []
        for name, found in self.summary.items():
            metric = describe(name)
            std = metric.number(found["sd"]) if len(found["values"]) > 1 else ""
            papers = metric.number(paper[name]) if name in paper else ""
            lines.append((name, metric.heading, metric.number(found["mean"]), std, papers, metric.explanation))
        return lines

    def settings(self) -> list[tuple[str, str, str]]:
        """Return the settings that differ from the recipe of that name: key, here, there; empty where there is none."""
        changed = recipes.differences(self.runs[0].recipe)
        said = [(key, _said(here), _said(there)) for key, (here, there) in changed.items()]
        tables = {key.rpartition(".")[0] for key in changed}  # where one stands for a word, or the other way round
        return [(key, here, there) for key, here, there in said if (here or there) and key not in tables]

    def concerns(self) -> list[str]:
        """Return what looks wrong: collapsed parts, classes that are never predicted or mostly taken for others."""
        found: dict[str, None] = {}
        for run, measured in zip(self.runs, self.reports, strict=True):
            seed = f"seed {run.recipe.training.seed}: " if len(self.runs) > 1 else ""
            history = run.folder.read_metrics()
            for _, advice in diagnose(history[-1], final=True) if history else ():
                found[seed + advice] = None
            if self.confusion is not None:
                own = np.array(measured["confusion"])
                counts = own.sum(axis=1)
                for k in np.flatnonzero((own.sum(axis=0) == 0) & (counts > 0)):
                    name = run.class_names[k]
                    found[f"{seed}class {name} is never predicted; it is {counts[k]} of the held-out rows"] = None
        if self.confusion is not None:
            names, counts = self.runs[0].class_names, self.confusion.sum(axis=1)
            for k in np.flatnonzero(counts):
                right, others = self.confusion[k, k], self.confusion[k].copy()
                others[k] = 0
                if counts[k] - right > MOSTLY_WRONG * counts[k]:
                    most = names[int(others.argmax())]
                    part = 1 - right / counts[k]
                    found[f"class {names[k]} is taken for another in {part:.0%} of its rows, mostly for {most}"] = None
        return list(found)

    def page(self, data: Dataset | str | Path | None = None) -> str:
        """Return the page, in HTML."""
        first = self.runs[0]
        seeds = [str(run.recipe.training.seed) for run in self.runs]
        parts = [_list("Read", _data(first)), _list("Trained", _training(first, seeds))]
        changed = self.settings()
        if first.recipe.name in recipes.names():
            heading = f"recipe {first.recipe.name}"
            table = (
                _table(("setting", "here", heading), changed, write=html.escape)
                if changed
                else f"<p>the {heading} as it is</p>"
            )
            parts.append(_section("Settings that differ from the recipe", table))
        concerns = "".join(f"<li>{html.escape(text)}</li>" for text in self.concerns())
        parts.insert(0, _section("Look at this first", f'<ul class="concern">{concerns}</ul>') if concerns else "")
        head = ("metric", "mean" if len(seeds) > 1 else "value", "std", "paper", "what it is")
        columns = [k for k in range(5) if k != 2 or len(seeds) > 1]
        if not self.reports[0]["paper"]:
            columns.remove(3)
        lines = [line[1:] for line in self.rows()]
        table = _table([head[k] for k in columns], [[line[k] for k in columns] for line in lines], explained=True)
        parts.append(_section(f"Measured on {measured_rows(self.reports[0])}", table))
        pictures = figures(self.runs, data)
        for name, figure in pictures.items():
            caption = html.escape(CAPTIONS.get(name, ""))
            of = f" (of seed {seeds[0]})" if len(seeds) > 1 and name not in OF_ALL_SEEDS else ""
            dark = f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(figure, DOTS, dark=True)}">'
            image = f'<picture>{dark}<img alt="{name}" src="{data_uri(figure, DOTS)}"></picture>'
            heading = name.replace("-", " ").capitalize() + of
            parts.append(_section(heading, f"<figure>{image}<figcaption>{caption}</figcaption></figure>"))
        parts.append(
            _section("Recipe", f"<details><summary>complete settings</summary><pre>{_recipe(first)}</pre></details>")
        )
        page = (resources.files("aae.reproduction") / "report.html").read_text("utf-8")
        return Template(page).substitute(title=html.escape(title(first)), body="\n".join(parts))

    def latex(self) -> str:
        """Return the metrics as a table in LaTeX, for the package booktabs."""
        several = len(self.runs) > 1
        value = r"mean $\pm$ std" if several else "value"
        lines = [r"\begin{tabular}{lrr}", r"\toprule", rf"metric & {value} & paper \\"]
        lines.append(r"\midrule")
        for name, heading, _, _, paper, _ in self.rows():
            value = with_std(self.summary[name], describe(name).digits).replace("±", r"$\pm$")
            lines.append(rf"{_tex(heading)} & {value} & {paper} \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])

    def csv(self) -> str:
        """Return the metrics as CSV, with the value of each seed."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        seeds = [f"seed {run.recipe.training.seed}" for run in self.runs]
        writer.writerow(["metric", "mean", "std", "paper", *seeds])
        paper = self.reports[0]["paper"]
        for name, found in self.summary.items():
            writer.writerow([name, found["mean"], found["sd"], paper.get(name, ""), *found["values"]])
        return buffer.getvalue()


def report(runs: Sequence[Run], data: Dataset | str | Path | None = None) -> RunReport:
    """Gather what is known of a run, or of the seeds of one; what was not evaluated before is evaluated now.

    Parameters
    ----------
    runs : sequence of Run
        Finished runs that differ in their seed, at least one.
    data : Dataset, str or Path, optional
        The run's data, if already loaded, or where it is by now.

    Raises
    ------
    InputError
        If the data cannot be loaded or has no held-out rows, or seeds were measured on different rows.
    """
    reports = []
    for run in runs:
        if run.folder.evaluation.exists():
            reports.append(read_report(run.folder.evaluation))
            continue
        dataset = run.load_data(data)
        if dataset.test is None and dataset.validation is None:
            raise InputError(f"{dataset.name}: has no held-out rows to report on; expected data.test larger than 0")
        reports.append(evaluate(run, "test" if dataset.test is not None else "validation", dataset))
    rows = {measured_rows(found): run for run, found in zip(runs, reports, strict=True)}
    if len(rows) > 1:
        (these, one), (those, other) = list(rows.items())[:2]
        raise InputError(
            f"{one.folder.path} was measured on {these} and {other.folder.path} on {those}; expected the same rows: "
            "aae evaluate of the folder that holds the seeds measures all of them on one split"
        )
    matrices = [np.array(found["confusion"]) for found in reports if "confusion" in found]
    same = len(matrices) == len(reports) and len({matrix.shape for matrix in matrices}) == 1
    metrics = [found["metrics"] for found in reports]
    return RunReport(runs, reports, summarize(metrics), np.sum(matrices, axis=0) if same else None)


def write(text: str, path: str | Path, ending: str) -> Path:
    """Write a page or a table and return its path; InputError where its ending is another or it cannot be written."""
    with output_file(path, ending) as target:
        write_text(target, text)
    return target


def _data(run: Run) -> list[tuple[str, str]]:
    metadata, recipe = run.metadata, run.recipe
    scaling = metadata.get("scaling", {})
    shape = "x".join(map(str, run.shape))
    told = [("data", recipe.data.source), ("a row", f"{shape} {metadata['rows']}")]
    told += [("training rows", f"{metadata['training_rows']:,}")] if "training_rows" in metadata else []
    if run.class_names:
        names = ", ".join(run.class_names[:20]) + (", ..." if len(run.class_names) > 20 else "")
        told.append(("classes", f"{len(run.class_names)}: {names}"))
    told.append(("labels used", str(recipe.data.labels or "none")))
    if scaling:
        more = [
            f"{len(scaling[key])} {key.replace('_', ' ')}"
            for key in ("bent_columns", "constant_columns")
            if scaling.get(key)
        ]
        told.append(("scaling", ", ".join([scaling["kind"], *more])))
    return told


def _training(run: Run, seeds: Sequence[str]) -> list[tuple[str, str]]:
    metadata = run.metadata
    told = [("recipe", run.recipe.name), ("seeds", ", ".join(seeds)), ("epochs", str(metadata.get("epochs", "")))]
    if "seconds" in metadata:
        told.append(
            ("time", f"{metadata['seconds']:,.0f} s for a seed on {metadata.get('device', 'an unknown device')}")
        )
    told.append(("command", str(metadata.get("command", ""))))
    told.append(("version", f"aae {metadata.get('version', '')}, torch {metadata.get('torch', '')}"))
    return told


def _said(value: Any) -> str:
    return "" if value is None else str(value)


def _recipe(run: Run) -> str:
    return html.escape(run.folder.recipe.read_text("utf-8")) if run.folder.recipe.exists() else ""


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>{content}</section>"


def _list(heading: str, entries: Sequence[tuple[str, str]]) -> str:
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in entries if text)
    return _section(heading, f"<dl>{lines}</dl>")


def _table(
    head: Sequence[str],
    lines: Sequence[Sequence[str]],
    explained: bool = False,
    write: Callable[[str], str] | None = None,
) -> str:
    """Write a table; one that is `explained` has sentences in its last column, which go below the rest on a phone."""
    write = write or _text
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    rest = "".join("<tr>" + "".join(f"<td>{write(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    kind = f' class="explained" style="--numbers: {len(head) - 2}"' if explained else ""
    return f'<div class="wide"><table{kind}><thead><tr>{first}</tr></thead><tbody>{rest}</tbody></table></div>'


def _text(cell: str) -> str:
    """Write a cell whose Markdown has code and short formulas in it, which are written as text."""
    plain = re.sub(r"\$([^$]*)\$", lambda found: re.sub(r"\\mathbf ?|\\(?=log|max)|[{}]", "", found[1]), cell)
    for command, sign in SIGNS.items():
        plain = plain.replace(command, sign)
    parts = html.escape(plain).split("`")
    return "".join(f"<code>{part}</code>" if k % 2 else part for k, part in enumerate(parts))


def _tex(text: str) -> str:
    for mark in "&%$#_{}":
        text = text.replace(mark, "\\" + mark)
    return text
