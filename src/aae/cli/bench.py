"""The command that measures speed: bench."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from aae.cli.options import Device, DeviceOption, JsonOption
from aae.cli.output import new_table, print_table
from aae.errors import InputError, TargetMissedError

if TYPE_CHECKING:
    from aae.recipes import Recipe
    from aae.runs.time_to import TimeTo


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE]...", help="Recipes to measure; or parzen, the Parzen window."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    time_to: Annotated[
        str | None,
        typer.Option(
            "--time-to",
            metavar="METRIC=VALUE",
            help="Train until a metric of validation rows is as good as this; status 3 if it never is.",
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Measure the speed of one training step, or of a Parzen window, against the roofline of this machine.

    With --time-to: the minutes that a training takes, from its start, to be that good on validation rows. Where a recipe does
    not become that good in all its epochs, a line says how good it was at best, and the exit status is 3.

    Example: aae bench figure2a --set training.precision=fp32
    """
    from aae.bench import step as speed
    from aae.runs.recipe import read_recipe

    if "parzen" in (names or []):
        if names != ["parzen"]:
            raise InputError(f"{' '.join(names or [])}: parzen is no recipe; expected it alone, or recipes alone")
        if overrides:
            raise InputError(f"--set {overrides[0]}: a Parzen window has no recipe; expected none")
        if time_to is not None:
            raise InputError(f"--time-to {time_to}: a Parzen window is not trained; expected recipes")
        from aae.bench.parzen import bench_parzen

        found = bench_parzen(device=device.value)
        if as_json:
            print(json.dumps(found))
            return
        table = new_table("Parzen window", "")
        for key, value in found.items():
            table.add_row(key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value))
        print_table(table)
        return
    chosen = [read_recipe(name, overrides or [], None) for name in names or ["figure2a", "table2-mnist-100"]]
    if time_to is not None:
        _print_times(chosen, time_to, device.value, as_json)
        return
    results = [speed.bench(recipe, device.value) for recipe in chosen]
    if as_json:
        print(json.dumps(results))
    else:
        print_table(speed.table(results))


def _print_times(recipes: Sequence[Recipe], wanted: str, device: str, as_json: bool) -> None:
    from aae.evaluation.metrics import describe
    from aae.runs.time_to import parse_target, time_to
    from aae.runs.validation_metric import choose_metric

    metric, target = parse_target(wanted)
    choose_metric(recipes, metric)  # of all before any is trained
    times = [time_to(recipe, metric, target, device) for recipe in recipes]
    if as_json:
        print(json.dumps([one.as_json() for one in times]))
    else:
        _print_table(times, metric, target)
    known = describe(metric)
    missed = [one for one in times if not one.reached]
    if missed:
        shown = ", ".join(f"{one.recipe}: {known.number(one.best)} at best in {one.epochs} epochs" for one in missed)
        raise TargetMissedError(f"{known.heading} of {wanted.partition('=')[2].strip()} was not reached; {shown}")


def _print_table(times: Sequence[TimeTo], metric: str, target: float) -> None:
    from aae.evaluation.metrics import describe

    known = describe(metric)
    table = new_table("recipe", f"minutes to {known.heading} {known.number(target)}", "core-minutes", "epochs", "best")
    for one in times:
        minutes = f"{one.minutes:.2f}" if one.reached else f"not within {one.minutes:.2f}"
        table.add_row(one.recipe, minutes, f"{one.core_minutes:.2f}", str(one.epochs), known.number(one.best))
    print_table(table)
