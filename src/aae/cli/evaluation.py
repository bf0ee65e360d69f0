"""Commands that evaluate a run: evaluate, parzen, figure."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from aae.cli.options import MAX_COUNT, DataOption, Device, DeviceOption, JsonOption, RunArgument, SplitName, TrustOption
from aae.cli.output import add_metrics, new_table, print_confusion, print_table, shown
from aae.errors import InputError


def evaluate(
    run: RunArgument,
    split: Annotated[SplitName, typer.Option(help="Held-out rows to evaluate on.")] = SplitName.test,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write a result file into this folder.")
    ] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a run, or every seed of one, and write evaluation.json into it.

    Example: aae evaluate runs/figure2a
    """
    from aae.reproduction import results
    from aae.runs import evaluate as measure
    from aae.runs.seeds import load_runs

    if record is not None:
        results.check_split(split.value)
    runs = load_runs(run, device.value, trust_modules=trust)
    if record is not None:
        results.result_path(runs, record)
    dataset = runs[0].load_data(data)
    reports = [measure.evaluate(r, split.value, dataset) for r in runs]
    summary = results.summarize([report["metrics"] for report in reports])
    if record is not None:
        print(results.record(runs, reports, record), file=sys.stderr)
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else {"seeds": reports, "metrics": summary}))
        return
    paper = {name: value for name, value in reports[0]["paper"].items() if name in summary} or None
    columns = [f"{runs[0].recipe.name}, {len(runs)} seed(s), {reports[0]['epochs']} epochs", "mean", "std"]
    table = new_table(*columns, *(["paper"] if paper else []))
    add_metrics(table, summary, paper)
    print_table(table)
    matrices = [report["confusion"] for report in reports if "confusion" in report]
    if matrices:
        print_confusion(matrices, runs[0].class_names)


def parzen(
    run: RunArgument,
    n: Annotated[int, typer.Option("-n", min=1, max=MAX_COUNT, help="Number of samples of the model.")] = 10_000,
    split: Annotated[SplitName, typer.Option(help="Held-out rows to score.")] = SplitName.test,
    all_folds: Annotated[
        bool, typer.Option("--all-folds", help="Score the rows of all five official folds of TFD, and their mean.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Keeps what was done so far; by default a folder in the run.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Folder of result files to write one into.")] = None,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate the log-likelihood of held-out rows by a Parzen window on samples of a run (section 3).

    An interrupted estimate is resumed. Under `torchrun --nproc-per-node 2 -m -- aae parzen ...` the samples are
    divided among all processes.

    Example: aae parzen runs/table1-mnist -n 10000000
    """
    from dataclasses import asdict

    from aae.evaluation.parzen import ParzenEstimate
    from aae.reproduction import results
    from aae.runs import likelihood
    from aae.runs.run import Run
    from aae.training.acceleration import distributed

    if record is not None:
        results.check_split(split.value)
    distributed.join()
    finished = Run.load(run, device.value, trust_modules=trust)
    if record is not None:
        results.parzen_path(finished, n, record, all_folds=all_folds)
    state = folder or finished.folder.path / "parzen" / (f"{split.value}-{n}" + ("-folds" if all_folds else ""))
    begun, started = state.exists(), time.perf_counter()
    folds: list[ParzenEstimate] = []
    if all_folds:
        found, folds = likelihood.parzen_of_folds(finished, split.value, n, state, data)
    else:
        dataset = finished.load_data(data)
        rows = getattr(dataset, split.value)
        if rows is None:
            raise InputError(f"{dataset.name}: has no {split.value} split; expected one to score")
        found = likelihood.parzen(finished, dataset, rows, n, state)
    if record is not None and distributed.Distributed.joined().is_main_process:
        seconds = None if begun else round(time.perf_counter() - started, 1)
        print(results.record_parzen(finished, found, split.value, seconds, record, folds), file=sys.stderr)
    estimate = asdict(found)
    if any(one.sigma_at_end_of_grid for one in folds or [found]):
        print(f"note: sigma {found.sigma:.3g} is at the end of its grid; a better one may lie beyond", file=sys.stderr)
    if as_json:
        of_folds = {"folds": [asdict(fold) for fold in folds]} if folds else {}
        print(json.dumps({**estimate, **of_folds, "caveat": likelihood.CAVEAT}))
        return
    names = [f"fold {k}" for k in range(len(folds))]
    table = new_table(f"Parzen window, {n} samples, {split.value} rows", "mean of folds" if folds else "", *names)
    for name, value in estimate.items():
        if not name.startswith("grid"):
            of_each = (getattr(fold, name) for fold in folds)
            table.add_row(
                (f"{split.value} rows" if name == "test_rows" else name).replace("_", " "),
                *(f"{number:.6g}" for number in (value, *of_each)),
            )
    print_table(table)
    print(f"note: {likelihood.CAVEAT}", file=sys.stderr)


def figure(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; by default figures/ in the run.")
    ] = None,
    plots: Annotated[
        list[str] | None,
        typer.Option(
            "--plot",
            metavar="NAME",
            help="Only history, map, confusion, roc, precision-recall, clusters, samples, reconstructions or interpolation; "
            "may be repeated.",
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Also write each for dark pages, as NAME-dark.png.")] = False,
    data: DataOption = None,
    device: DeviceOption = Device.auto,
    trust: TrustOption = False,
) -> None:
    """Plot a run, or the seeds of one: the paper's figures that fit it, curves, a map, a confusion matrix.

    Example: aae figure runs/figure2a
    """
    from aae.runs.plot import plot
    from aae.runs.seeds import load_runs

    runs = load_runs(run, device.value, trust_modules=trust)
    for path in plot(runs, output, data, plots or (), dark):
        print(shown(path))
