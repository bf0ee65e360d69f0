"""The run directory: everything a run leaves behind, self-contained and safe to copy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from aae.errors import InputError
from aae.files import write_json, write_text

Record = dict[str, Any]


class RunDirectory:
    """Paths and files of one run.

    Parameters
    ----------
    path : str or Path
        The folder; nothing is created or read yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.toml"
        self.metadata = self.path / "run.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.radii = self.path / "radii.safetensors"
        self.weights = self.path / "model.safetensors"
        self.evaluation = self.path / "evaluation.json"
        self.figures = self.path / "figures"
        self.events = self.path / "tensorboard"

    def is_new(self) -> bool:
        """Check whether nothing is there yet but what a run killed at its very start may leave."""
        leftovers = {self.metadata.name, self.metadata.name + ".part", self.recipe.name + ".part"}
        return self.path.is_dir() and all(entry.name in leftovers for entry in self.path.iterdir())

    def require_new(self) -> None:
        """Check that nothing is in the way of a new run.

        Raises
        ------
        InputError
            If the folder already holds something.
        """
        if self.path.exists() and not self.is_new():
            raise InputError(
                f"{self.path}: already exists; expected a new run folder, or --resume to go on with this one"
            )

    def start(self, recipe_text: str, metadata: Record) -> None:
        """Write what defines the run, creating the folder if needed; the recipe comes last and makes it a run folder.

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.metadata, metadata)
            write_text(self.recipe, recipe_text)
        except OSError as error:
            raise InputError(f"{self.path}: cannot write the run folder ({os.strerror(error.errno or 0)})") from None

    def require(self) -> None:
        """Check that this is a run folder.

        Raises
        ------
        InputError
            If it is not.
        """
        if not self.path.is_dir():
            raise InputError(f"{self.path}: no such run folder")
        if not self.recipe.is_file():
            seeds = " itself, but its seed-* folders are" if any(self.path.glob("seed-*")) else ""
            raise InputError(f"{self.path}: not a run folder (it has no recipe.toml){seeds}")

    def read_metadata(self) -> Record:
        """Read ``run.json``."""
        return self._read_json(self.metadata)

    def read_metrics(self) -> list[Record]:
        """Read the records of all finished epochs, oldest first."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise InputError(f"{self.metrics}: a line is not JSON; expected one object per epoch") from None

    def keep_metrics(self, epochs: int) -> None:
        """Drop the records of epochs after `epochs`, and a line that a kill cut short."""
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            write_text(self.metrics, "".join(lines[:epochs]))

    def append_metrics(self, record: Record) -> None:
        """Add the record of one finished epoch."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _read_json(self, path: Path) -> Record:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; expected that of a finished run") from None
        except ValueError:
            raise InputError(f"{path}: not valid JSON") from None
        if not isinstance(value, dict):
            raise InputError(f"{path}: found a {type(value).__name__}, expected a JSON object")
        return value
