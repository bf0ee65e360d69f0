"""The command for many trainings: sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aae.cli.options import (
    MAX_COUNT,
    MAX_SEEDS,
    DaskOption,
    Device,
    DeviceOption,
    JobsOption,
    JsonOption,
    SlurmOption,
    SlurmSettingsOption,
)
from aae.cli.output import new_table, plain, print_table, shown
from aae.errors import InputError, TrainingError

if TYPE_CHECKING:
    from aae.sweeps import Execution, SweepResult


def sweep(
    recipes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE]...", help="Recipes; none: the sweep in the folder goes on."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid", metavar="KEY=VALUE,VALUE,...", help="Values of a key, separated by commas; may be repeated."
        ),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="KEY=LOW:HIGH[:log]", help="Range of a key, for a search; may be repeated."),
    ] = None,
    search: Annotated[
        int | None,
        typer.Option(
            "--search", min=1, max=MAX_COUNT, metavar="N", help="Try N settings, in place of all combinations."
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Give up settings of a search that are clearly behind.")
    ] = True,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_SEEDS,
            help="Trainings of each setting, over which results are averaged.",
            show_default="1, or those of the sweep in the folder",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Metric of the validation rows; by default the error, without labels the reconstruction."),
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the sweep.")] = Path("runs/sweep"),
    data: Annotated[str | None, typer.Option(help="Named data set or path, in place of the recipes'.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key everywhere.")
    ] = None,
    jobs: JobsOption = None,
    slurm: SlurmOption = False,
    slurm_settings: SlurmSettingsOption = None,
    dask: DaskOption = None,
    retry: Annotated[bool, typer.Option("--retry", help="Train again what failed.")] = False,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Train recipes with many settings and seeds, and compare them on validation rows.

    The folder is the queue: the same command, or one with the folder alone, goes on with what was interrupted, and may be given
    again elsewhere to share the work.

    Example: aae sweep demo --grid training.batch_size=50,100 --seeds 3 --jobs 2
    """
    from aae.sweeps import sweep as run_sweep

    found = run_sweep(
        recipes or (),
        run,
        grid=grid or (),
        ranges=ranges or (),
        search=search,
        prune=prune,
        seeds=seeds,
        settings=overrides or (),
        data=data,
        metric=metric,
        device=device.value,
        execution=execution(jobs, slurm, slurm_settings, dask),
        retry=retry,
    )
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        _print_result(found)
    if found.best is None:
        reason = next((row.failed[0] for row in found.rows if row.failed), "nothing was trained")
        raise TrainingError(f"{shown(found.folder)}: no setting was trained to the end; {reason}")


def execution(jobs: int | None, slurm: bool, slurm_settings: list[str] | None, dask: str | None) -> Execution:
    """Create what says where trainings run, from the options of a command."""
    from aae.sweeps import Execution

    given: dict[str, int | str] = {}
    for text in slurm_settings or ():
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--slurm-set {text!r}: expected KEY=VALUE")
        given[key] = int(value) if value.isdecimal() else value
    if given and not slurm:
        raise InputError(f"--slurm-set {next(iter(given))}: nothing is sent to Slurm; expected --slurm too")
    return Execution(jobs=jobs, dask=dask, slurm=given if slurm else None)


def _print_result(found: SweepResult) -> None:
    from aae.evaluation.metrics import describe

    definition = found.definition
    metric = describe(definition.metric)
    keys = definition.keys
    table = new_table(*(key.removeprefix("training.") for key in keys), metric.heading, "std", "seeds", "")
    for row in found.rows:
        values = [row.recipe if key == "recipe" else _short(row.settings[key]) for key in keys]
        mean, std = ("" if value is None else metric.number(value) for value in (row.mean, row.std))
        table.add_row(*map(plain, values), mean, std, str(len(row.values)), plain("; ".join(dict.fromkeys(row.failed))))
    print_table(table)
    if found.importance:
        table = new_table("what mattered", "of the variance")
        for key, fraction in found.importance.items():
            table.add_row(key.removeprefix("training."), f"{100 * fraction:.0f} %")
        print_table(table)
    if found.best is not None:
        print(f"best: {shown(found.best.folder)}")
        print(f"      {found.command()}")
    print(shown(found.folder))


def _short(value: str) -> str:
    """Write a value as a table shows it."""
    try:
        return value if value.lstrip("-").isdecimal() else f"{float(value):.4g}"
    except ValueError:
        return value.strip('"')
