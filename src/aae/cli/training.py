"""Commands that train: recipes, train, reproduce, demo."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from aae.cli.options import (
    MAX_SEEDS,
    DaskOption,
    Device,
    DeviceOption,
    JobsOption,
    JsonOption,
    ProfileName,
    SlurmOption,
    SlurmSettingsOption,
)
from aae.cli.output import add_metrics, new_table, print_table, shown
from aae.cli.sweeping import execution
from aae.errors import InputError


def _complete_recipe(incomplete: str) -> list[str]:
    from aae.recipes import names

    return [name for name in names() if name.startswith(incomplete)]


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Recipe to print in full.", autocompletion=_complete_recipe)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the recipes: name, place in the paper, data, expected numbers, rough cost; or print one, with all its keys.

    Example: aae recipes classify
    """
    from aae.evaluation.metrics import describe

    if name is not None:
        from aae.recipes import dump, read

        recipe = read(name)
        print(json.dumps(recipe.model_dump(mode="json", exclude_none=True)) if as_json else dump(recipe).rstrip("\n"))
        return
    from aae.recipes import overview

    found = overview()
    if as_json:
        print(json.dumps(found))
        return
    table = new_table("recipe", "what", "paper", "data", "paper's numbers", "rough cost")
    table.columns[0].no_wrap = True  # a name that is cut is none
    for r in found:
        numbers = "; ".join(f"{describe(name).heading}: {value:g}" for name, value in r["paper"].items())
        table.add_row(r["name"], r["title"], r["reference"], r["source"], numbers, r["cost"])
    print_table(table)


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe (see `aae recipes`) or a .toml file.",
            autocompletion=_complete_recipe,
        ),
    ],
    data: Annotated[str | None, typer.Option(help="Named data set or path, in place of the recipe's.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; by default runs/RECIPE.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=MAX_SEEDS, help="Number of seeds to train, from training.seed on.")
    ] = 1,
    batched: Annotated[
        bool | None,
        typer.Option(
            "--batched/--in-turn",
            help="Train the seeds as one batched program, or one after another; by default batched on a GPU.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with an interrupted run, or start it if there is none; a finished one is left alone.",
        ),
    ] = False,
) -> None:
    """Train a recipe into a run folder; of a task, classify, cluster, map, anomalies or generate, on your own data.

    Under `torchrun --nproc-per-node 2 -m -- aae train ...` every mini-batch is divided among all processes.

    Example: aae train figure2a --data digits --set training.epochs=20 --run runs/first
    """
    from aae.reproduction.results import summarize
    from aae.runs.recipe import read_recipe
    from aae.runs.seeds import train_seeds
    from aae.training.acceleration import distributed
    from aae.training.signals import leaves_on_request

    distributed.join()
    several = next((one for one in overrides or [] if one.partition("=")[0].strip() == "seeds"), None)
    if several is not None:
        raise InputError(f"--set {several}: found the seeds of `aae reproduce`; expected --seeds to train several")
    checked = read_recipe(recipe, overrides or [], data)
    with leaves_on_request():
        runs = train_seeds(checked, seeds, run=run, device=device.value, resume=resume, batched=batched)
    if not distributed.Distributed.joined().is_main_process:
        return
    last = [metrics[-1] for r in runs if (metrics := r.folder.read_metrics())]
    table = new_table("metric after the last epoch", "mean", "std")
    add_metrics(table, {k: v for k, v in (summarize(last) if last else {}).items() if k not in ("epoch", "seconds")})
    print_table(table)
    for r in runs:
        print(shown(r.folder.path))


def reproduce(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="table2, table3, figure2, figure4, ... or all.")],
    profile: Annotated[
        ProfileName,
        typer.Option(help="smoke: seconds, on digits; short: hours on two cores; full: the paper's lengths."),
    ] = ProfileName.short,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=MAX_SEEDS, help="Number of seeds, in place of the profile's.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder for the runs; finished ones are used again.")] = Path(
        "runs/reproduce"
    ),
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write result files into this folder.")
    ] = None,
    jobs: JobsOption = None,
    slurm: SlurmOption = False,
    slurm_settings: SlurmSettingsOption = None,
    dask: DaskOption = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Train, evaluate and plot a table or figure of the paper, and put its numbers beside ours.

    Example: aae reproduce table2 --profile short
    """
    from aae.evaluation.metrics import describe
    from aae.reproduction import reproduce as reproduction
    from aae.training.signals import leaves_on_request

    def note(text: str) -> None:
        print(text, file=sys.stderr)

    with leaves_on_request():
        outcomes = reproduction.reproduce(
            target,
            profile.value,
            run,
            seeds=seeds,
            record=record,
            device=device.value,
            note=note,
            execution=execution(jobs, slurm, slurm_settings, dask),
        )
    rows = reproduction.comparison(outcomes)
    columns = ("recipe", "metric", "paper", "ours", "epochs", "seeds")
    if as_json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows]))
        return
    table = new_table(*columns)
    for recipe, metric, *rest in rows:
        table.add_row(recipe, describe(metric).heading, *map(str, rest))
    print_table(table)


def demo(
    run: Annotated[Path, typer.Option(help="Folder for the demonstration's runs.")] = Path("runs"),
    device: DeviceOption = Device.auto,
) -> None:
    """Learn handwritten digits from five labels per class, with and without the unlabelled rows.

    Example: aae demo
    """
    from aae.reproduction.demo import demo as show

    comparison, figures = show(run, device.value)
    table = new_table("test error in percent, 8x8 digits", "error")
    for name, error in comparison.items():
        table.add_row(name, f"{error:.1f}")
    print_table(table)
    for path in figures:
        print(shown(path))
