"""Checkpoints: tensors in safetensors, everything else in a JSON side file; written whole or not at all.

The side file is written last and carries the size of its tensor file, so a pair that a crash cut short is never taken for
a checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from aae.errors import InputError
from aae.files import read_tensors, write_json, write_tensors


def save_checkpoint(
    folder: Path, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any], *, alone: bool = True
) -> None:
    """Write checkpoint `name` into `folder` and, if it is to be `alone`, remove older ones.

    Parameters
    ----------
    folder : Path
        Created if needed.
    name : str
        File name without suffix; names sort by age.
    tensors : dict of str to Tensor
        Weights, optimizer state, random state.
    metadata : dict
        Anything JSON can hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    write_tensors(path, tensors)
    write_json(folder / f"{name}.json", {**metadata, "bytes": path.stat().st_size})
    if alone:
        remove_other_checkpoints(folder, name)


def remove_other_checkpoints(folder: Path, name: str) -> None:
    """Remove all checkpoints in `folder` but `name`."""
    for old in folder.iterdir():
        if old.stem != name:
            old.unlink()


def checkpoint_names(folder: Path) -> set[str]:
    """Name the checkpoints in `folder`."""
    return {side_file.stem for side_file in folder.glob("*.json")}


def latest_checkpoint(folder: Path, name: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read checkpoint `name` in `folder`, by default the newest whole one, or None if there is none.

    Raises
    ------
    InputError
        If a checkpoint was damaged after it was written.
    """
    names = checkpoint_names(folder)
    if not names:
        return None
    side_file = folder / f"{name or max(names)}.json"
    tensors_file = side_file.with_suffix(".safetensors")
    try:
        metadata = json.loads(side_file.read_text(encoding="utf-8"))
        expected = metadata["bytes"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{side_file}: not the side file of a checkpoint") from None
    found = tensors_file.stat().st_size if tensors_file.exists() else 0
    if found != expected:
        raise InputError(f"{tensors_file}: damaged checkpoint; found {found} bytes, expected {expected}")
    return read_tensors(tensors_file), metadata
