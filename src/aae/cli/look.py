"""Commands that make pages to look at: explore, report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aae.cli.options import DataOption, Device, DeviceOption, RunArgument, TrustOption
from aae.cli.output import check_output, shown

MAX_SHOWN = 100_000  # as in the explorer, whose module takes long to import


class Rows(StrEnum):
    """Which rows of a run's data to look at."""

    auto = "auto"
    train = "train"
    validation = "validation"
    test = "test"
    all = "all"


def explore(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; by default explorer.html in the run.")
    ] = None,
    split: Annotated[
        Rows, typer.Option(help="Which rows; by default test rows, or validation rows where there are none.")
    ] = Rows.auto,
    rows: Annotated[int, typer.Option(min=1, max=MAX_SHOWN, help="At most so many rows.")] = 10_000,
    label: Annotated[str | None, typer.Option(help="Label that is decoded at first, by name.")] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write a page that shows the codes of rows and decodes whatever the pointer is at; it needs no network.

    Example: aae explore runs/figure4a
    """
    from aae.runs.run import Run
    from aae.runs.view import view
    from aae.views.page import explorer

    finished = Run.load(run, device.value, trust_modules=trust)
    wanted = None if label is None else finished.label_index(label)
    page = explorer(view(finished, split.value, data), rows, wanted)
    print(shown(page.save(output or finished.folder.explorer)))


def report(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; by default report.html in the run.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the metrics as a LaTeX table, .tex.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the metrics of every seed, .csv.")
    ] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Write one page about a run, or the seeds of one: data, settings, curves, metrics, confusion, a map, samples.

    Example: aae report runs/demo --latex demo.tex
    """
    from aae.files import check_ending
    from aae.reproduction import report as reporting
    from aae.runs.seeds import load_runs

    runs = load_runs(run, device.value, trust_modules=trust)
    for path, ending in ((output, ".html"), (latex, ".tex"), (csv, ".csv")):
        if path is not None:
            check_ending(path, ending)
        check_output(path, data or runs[0].recipe.data.source, runs[0].recipe.data.labels_file)
    found = reporting.report(runs, data)
    tables = [(latex, ".tex", found.latex), (csv, ".csv", found.csv)]
    paths = [reporting.write(make(), path, ending) for path, ending, make in tables if path is not None]
    paths.insert(0, reporting.write(found.page(data), output or run / "report.html", ".html"))
    for path in paths:
        print(shown(path))
