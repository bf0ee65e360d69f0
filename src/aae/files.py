"""Files written whole or not at all: text, JSON and tensors; what a run folder holds passes through here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from aae.errors import InputError


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all (temporary file, flushed to disk, then renamed)."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say
        raise
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    _write(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all; a tied weight is written under each of its names."""
    whole: dict[str, Tensor] = {}
    written = set()
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        whole[name] = held.clone() if held.data_ptr() in written else held
        written.add(held.data_ptr())
    _write(path, save(whole))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU.

    Raises
    ------
    InputError
        If the file does not exist or is no whole safetensors file.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected the weights of a finished run") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None
