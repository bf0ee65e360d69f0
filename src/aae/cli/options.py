"""Arguments and options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

MAX_COUNT, MAX_SEED, MAX_SEEDS = 2**31 - 1, 2**63 - 1, 100_000  # as in recipes, whose module takes long to import


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class SplitName(StrEnum):
    """Held-out rows to evaluate on."""

    test = "test"
    validation = "validation"


class ProfileName(StrEnum):
    """How long `reproduce` trains."""

    smoke = "smoke"
    short = "short"
    full = "full"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
InputArgument = Annotated[
    Path,
    typer.Argument(metavar="INPUT", help="Rows: a table, an array, images, or a folder of images or parts of a table."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on one line and nothing else on stdout.")]
DataOption = Annotated[
    str | None, typer.Option(help="Where the data of the run is by now, if not where the recipe says.")
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-modules", help="Import the custom modules that the run's recipe names, if it names some."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draw.")]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=-1,
        help="Workers; -1: one for each processor. On Slurm and Dask, how many jobs.",
        show_default="1",
    ),
]
DaskOption = Annotated[
    str | None, typer.Option("--dask", metavar="ADDRESS", help="Let the workers of this Dask scheduler train.")
]
SlurmOption = Annotated[bool, typer.Option("--slurm", help="Train as an array of Slurm jobs, and wait for them.")]
SlurmSettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm-set",
        metavar="KEY=VALUE",
        help="Parameter of submitit, such as timeout_min=240 or slurm_partition=gpu; may be repeated.",
    ),
]
