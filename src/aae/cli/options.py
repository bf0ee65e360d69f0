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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on stdout.")]
DataOption = Annotated[
    str | None, typer.Option(help="Where the data of the run is by now, if not where the recipe says.")
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-modules", help="Import the custom modules that the run's recipe names, if it names some."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the draw.")]
