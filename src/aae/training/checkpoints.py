"""Checkpoints: tensors in safetensors, everything else in a JSON side file; written whole or not at all.

The side file is written last and carries the size of its tensor file and a digest of both, so a pair that a crash cut short is
never taken for a checkpoint, and one that was damaged later is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from aae.errors import InputError
from aae.files import pack_tensors, read_bytes, read_object, unpack_tensors, write_bytes, write_json

Place = tuple[int, int]
"""Epochs finished, and steps done in the one under way."""
NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.(?:json|safetensors)")


class SideFile(BaseModel):
    """What the side file of a checkpoint has to hold."""

    model_config = ConfigDict(extra="allow", strict=True)

    epoch: Annotated[int, Field(ge=0)]
    step: Annotated[int, Field(ge=0)]
    bytes: int
    digest: str


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], metadata: dict[str, Any], *, alone: bool = True) -> None:
    """Write a checkpoint into `folder` and, if it is to be `alone`, remove older ones.

    Parameters
    ----------
    folder : Path
        Created if needed.
    tensors : dict of str to Tensor
        Weights, optimizer state, random state.
    metadata : dict
        Anything JSON can hold, with the ``epoch`` and ``step`` that give it its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = metadata["epoch"], metadata["step"]
    content = pack_tensors(tensors)
    write_bytes(_tensors_file(folder, place), content)
    write_json(_side_file(folder, place), {**metadata, "bytes": len(content), "digest": _digest(content, metadata)})
    if alone:
        remove_older_checkpoints(folder, place)


def remove_older_checkpoints(folder: Path, place: Place) -> None:
    """Remove the checkpoints in `folder` that are older than that of `place`; other files stay."""
    for file in folder.iterdir():
        found = NAME.fullmatch(file.name)
        if found and (int(found[1]), int(found[2])) < place:
            file.unlink(missing_ok=True)


def checkpoint_places(folder: Path) -> set[Place]:
    """List the places of the checkpoints in `folder`; OSError where it is there and cannot be looked into."""
    names = (file.name for file in folder.iterdir() if file.suffix == ".json") if folder.exists() else ()
    return {(int(found[1]), int(found[2])) for name in names if (found := NAME.fullmatch(name))}


def latest_checkpoint(folder: Path, place: Place | None = None) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the checkpoint of `place` in `folder`, by default the newest whole one, or None if there is none.

    Raises
    ------
    InputError
        If a checkpoint was damaged after it was written.
    """
    places = checkpoint_places(folder)
    if not places:
        return None
    place = place or max(places)
    side_file, tensors_file = _side_file(folder, place), _tensors_file(folder, place)
    metadata = read_object(side_file)
    try:
        SideFile.model_validate(metadata)
    except ValidationError:
        raise InputError(f"{side_file}: not the side file of a checkpoint") from None
    expected, digest = metadata.pop("bytes"), metadata.pop("digest")
    damaged = f"{tensors_file}: damaged checkpoint"
    remedy = f"remove it and {side_file.name} to go on from what is before"
    found = tensors_file.stat().st_size if tensors_file.is_file() else 0
    if found != expected:
        raise InputError(f"{damaged}; found {found} bytes, expected {expected}; {remedy}")
    content = read_bytes(tensors_file)
    if _digest(content, metadata) != digest or (metadata["epoch"], metadata["step"]) != place:
        raise InputError(f"{damaged}; its digest is not that of the side file, expected the same; {remedy}")
    return unpack_tensors(content, tensors_file), metadata


def _digest(content: bytes, metadata: dict[str, Any]) -> str:
    digest = hashlib.sha256(content)
    digest.update(json.dumps(metadata, sort_keys=True).encode())
    return digest.hexdigest()


def _tensors_file(folder: Path, place: Place) -> Path:
    return folder / f"epoch-{place[0]:06d}-step-{place[1]:06d}.safetensors"


def _side_file(folder: Path, place: Place) -> Path:
    return _tensors_file(folder, place).with_suffix(".json")
