"""The run directory: everything a run leaves behind, self-contained and safe to copy."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aae import files
from aae.errors import RESUME, InputError, InUseError
from aae.files import read_object, read_text, write_json, write_text
from aae.training.settings import Count, validation_message

Record = dict[str, Any]
LOCK = ".lock"
ATTEMPTS = 10  # in a row, to make a folder that others may just remove


class Metadata(BaseModel):
    """What ``run.json`` has to hold for a model to be built and used; whatever else is in it is kept."""

    model_config = ConfigDict(extra="allow", strict=True)

    shape: Annotated[list[Count], Field(min_length=1)]
    class_names: list[str]
    columns: list[str] = []
    table: dict[str, Any] | None = None
    """What the columns are, where not all of them are numbers, or some are covariates."""
    rows: Literal["uint8", "float32", "float64"]
    row_range: Annotated[tuple[float, float], Field(strict=False)] = (0.0, 1.0)
    """Of the values of the training rows."""
    data: str
    """Fingerprint of the training data."""
    training_rows: Count
    noise_variance: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Mean squared reconstruction error of scaled training rows, per value; not set where there is no such thing."""
    epochs: Count | None = None
    """Of a finished run."""
    ended_before: Count | None = None
    """The epochs it could have had, of a run that ended early."""
    best_epoch: Count | None = None
    """The epoch whose weights were kept, where validation rows decided."""
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    cpu_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Of processors in this process, unlike `seconds`, which other programs on the machine draw out."""
    device: str
    version: str
    torch: str


class RunDirectory:
    """Paths and files of one run.

    Parameters
    ----------
    path : str or Path
        The folder; nothing is created or read yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = files.expand(path)
        self.recipe = self.path / "recipe.toml"
        self.metadata = self.path / "run.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.radii = self.path / "radii.safetensors"
        self.weights = self.path / "model.safetensors"
        self.anomaly_score = self.path / "anomaly_score.safetensors"
        self.evaluation = self.path / "evaluation.json"
        self.figures = self.path / "figures"
        self.report = self.path / "report.html"
        self.explorer = self.path / "explorer.html"
        self.events = self.path / "tensorboard"

    def is_new(self) -> bool:
        """Check whether nothing is there but what a run killed at its very start may leave."""
        leftovers = {self.metadata.name, LOCK}
        return not self.path.exists() or (
            self.path.is_dir()
            and all(entry.name in leftovers or files.PART.fullmatch(entry.name) for entry in self.path.iterdir())
        )

    def require_new(self) -> None:
        """Check that nothing is in the way of a new run.

        Raises
        ------
        InputError
            If the folder already holds something.
        """
        if not self.is_new():
            raise InputError(
                f"{self.path}: already exists; expected a new run folder, or {RESUME} to go on with this one"
            )

    @contextmanager
    def lock(self, seconds: float = 0.0) -> Iterator[None]:
        """Keep everybody else from training into the folder, which is created if needed; a kill ends it too.

        Parameters
        ----------
        seconds : float
            How long to wait for another that holds it, 0 or more.

        Raises
        ------
        InUseError
            If another process still holds it then.
        InputError
            If the folder cannot be written.
        """

        def name_holder(descriptor: int) -> None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)

        path = self.path / LOCK
        lock = FileLock(path, timeout=0, on_acquired=name_holder if hasattr(os, "pwrite") else None, thread_local=False)
        held = True
        until, left = time.monotonic() + seconds, ATTEMPTS
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire()
                break
            except (Timeout, RuntimeError):  # held by another process, or by another call of this one
                if time.monotonic() >= until:
                    raise InUseError(
                        f"{self.path}: in use by {self._holder()}; expected a run that nobody trains"
                    ) from None
                left = ATTEMPTS
                time.sleep(0.05)
            except (FileExistsError, FileNotFoundError) as error:  # another has just removed it: nothing came of it
                left -= 1
                if not left or (self.path.exists() and not self.path.is_dir()):
                    raise self._unwritable(error) from None
                time.sleep(0.01)
            except OSError as error:
                if isinstance(error, PermissionError) or not self.path.is_dir():
                    raise self._unwritable(error) from None
                held = False
                print(
                    f"note: {self.path}: this file system has no locks ({error.strerror}); see to it that nobody else "
                    "trains into the folder",
                    file=sys.stderr,
                )
                break
        try:
            yield
        finally:
            if self.path.is_dir() and [entry.name for entry in self.path.iterdir()] == [LOCK]:  # nothing came of it
                with suppress(OSError):
                    path.unlink()
                    self.path.rmdir()
            if held:
                lock.release()

    def _holder(self) -> str:
        try:
            found = read_text(self.path / LOCK, 1000).strip()
        except InputError:
            return "another process"
        return found if re.fullmatch(r"process \d+ on [\w.-]+", found) else "another process"

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.path}: cannot write the run folder ({error.strerror or error})")

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
            raise self._unwritable(error) from None

    def remove_leftovers(self) -> None:
        """Remove what a killed training left unfinished, whoever it was; to be called under the lock."""
        for path in (self.metadata, self.recipe, self.metrics, self.weights):
            files.remove_leftovers(path, of_any_machine=True)
        files.remove_all_leftovers(self.checkpoints)

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
            hint = " itself, but its seed-* folders are" if any(self.path.glob("seed-*")) else ""
            if (self.path / "estimator.json").is_file():
                hint = ", but an estimator, which aae.load of Python loads"
            raise InputError(f"{self.path}: not a run folder (it has no recipe.toml){hint}")

    def read_metadata(self) -> Record:
        """Read ``run.json``.

        Raises
        ------
        InputError
            If it cannot be read, a key is missing or has a value of another kind.
        """
        try:
            return Metadata.model_validate(read_object(self.metadata)).model_dump(exclude_none=True)
        except ValidationError as error:
            raise InputError(f"{self.metadata}: {validation_message(error)}") from None

    def finished_epochs(self) -> int:
        """Count the epochs of a finished run; 0: it is not finished."""
        if not (self.weights.exists() and self.metadata.exists()):
            return 0
        return int(self.read_metadata().get("epochs", 0))

    def read_metrics(self) -> list[Record]:
        """Read the records of all finished epochs, oldest first.

        Raises
        ------
        InputError
            If a line is no such record.
        """
        return self._records() if self.metrics.exists() else []

    def keep_metrics(self, epochs: int) -> None:
        """Drop the records of epochs after `epochs`, and a line that a kill cut short.

        Raises
        ------
        InputError
            If the records of the epochs before are damaged or missing. Of a file that was removed nothing is missing.
        """
        if not self.metrics.exists():
            return
        records = self._records(epochs)
        found = [record["epoch"] for record in records]
        if epochs and (not found or found != list(range(found[0], epochs + 1))):
            raise InputError(
                f"{self.metrics}: found the epochs {_ranges(found)}, expected all up to {epochs}; "
                "remove the file to go on without what it records"
            )
        if not epochs:
            records = []
        write_text(self.metrics, "".join(json.dumps(record) + "\n" for record in records))

    def append_metrics(self, record: Record) -> None:
        """Add the record of one finished epoch, and flush it to the disk."""
        files.append_line(self.metrics, json.dumps(record, allow_nan=False))

    def _records(self, epochs: int | None = None) -> list[Record]:
        """Read records, or those of the first `epochs`: then lines after them may be anything."""
        records: list[Record] = []
        for number, line in enumerate(read_text(self.metrics, 2**30).splitlines(), 1):
            try:
                records.append(_check_record(files.parse_json(line, str(self.metrics))))
            except InputError:
                if epochs is not None and (not epochs or (records and records[-1]["epoch"] >= epochs)):
                    break
                raise InputError(f"{self.metrics}: line {number} is no record of an epoch, a JSON object") from None
        return records if epochs is None else [record for record in records if record["epoch"] <= epochs]


def _check_record(record: Any) -> Record:
    """Check that a line of the metrics is an object of finite numbers with its epoch."""
    checked: Record = record if isinstance(record, dict) else {}
    epoch = checked.get("epoch")
    if not isinstance(epoch, int) or epoch < 1 or not all(map(_is_finite, checked.values())):
        raise InputError("no record")
    return checked


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond floats
        return False


def _ranges(epochs: list[int]) -> str:
    """Write a list of epochs in short."""
    return f"{epochs[0]} to {epochs[-1]} ({len(epochs)} of them)" if epochs else "of none"
