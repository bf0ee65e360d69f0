"""The command that measures speed: bench."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aae.cli.options import Device, DeviceOption, JsonOption
from aae.cli.output import new_table, print_table
from aae.errors import InputError


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE]...", help="Recipes to measure; or parzen, the Parzen window."),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    device: DeviceOption = Device.auto,
    as_json: JsonOption = False,
) -> None:
    """Measure the speed of one training step, or of a Parzen window, against the roofline of this machine.

    Example: aae bench figure2a --set training.precision=fp32
    """
    from aae.bench import step as speed
    from aae.runs.train import read_recipe

    if names == ["parzen"]:
        if overrides:
            raise InputError(f"--set {overrides[0]}: a Parzen window has no recipe; expected none")
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
    results = [speed.bench(recipe, device.value) for recipe in chosen]
    if as_json:
        print(json.dumps(results))
    else:
        print_table(speed.table(results))
