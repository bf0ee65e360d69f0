"""Files written whole or not at all: text, JSON and tensors; what a run folder holds passes through here, both ways."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from aae.errors import InputError

MAX_TEXT = 2**26  # bytes, 64 MiB: beyond all that is written here
PART = re.compile(r"\.[0-9a-f]{12}\.(?P<host>.*)\.(?P<process>\d+)\.\d+\.part")
"""Name of a temporary file: of which target (a hash), and which process on which machine writes it."""

Sizes = dict[str, tuple[int, ...]]

_counter = itertools.count()
_open: set[str] = set()  # temporary files of this process


def expand(path: str | Path) -> Path:
    """Create an absolute path, which a change of the working directory leaves alone; ``~`` is a home directory.

    Raises
    ------
    InputError
        If there is no such home directory.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise InputError(f"{path}: no such home directory; expected ~ or that of a user of this machine") from None


def require_folder(path: Path) -> None:
    """Check that the folder of a file that is to be written exists.

    Raises
    ------
    InputError
        If it does not.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: found no folder {str(path.parent)!r} to write to, expected an existing one")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Create a file whole or not at all.

    Yields a path beside it to write to, which nobody else writes to. If nothing is raised, what is there is flushed to the
    disk and takes the place of `path`, or of what it links to; what a killed process left of an earlier attempt is removed.

    Raises
    ------
    OSError
        Naming `path`; a file that must not be written stays too.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    with _draft(path) as draft:
        yield draft
        _flush(draft)
        draft.replace(path)
        _flush(path.parent)


def check_ending(path: str | os.PathLike[str], *endings: str) -> Path:
    """Check that a file that is to be written has one of the `endings`, and return its absolute path; InputError if not."""
    target = expand(Path(path))
    if target.suffix.lower() not in endings:
        raise InputError(f"{target}: found the ending {target.suffix!r}, expected {endings[0]!r}")
    return target


@contextmanager
def output_file(path: str | os.PathLike[str], *endings: str) -> Iterator[Path]:
    """Check the ending of a file that is to be written, create its folder, and yield its absolute path.

    Raises
    ------
    InputError
        If it has none of the `endings`, or cannot be written.
    """
    target = check_ending(path, *endings)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder whole or not at all: yields a draft to write into, which becomes `path` if nothing is raised.

    Raises
    ------
    InputError
        If the folder holds something already or cannot be written.
    """
    path = expand(path)
    try:
        if path.exists():
            _require_empty(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _draft(path) as draft:
            draft.mkdir()
            yield draft
            for file in draft.iterdir():
                _flush(file)
            if path.exists():  # it may be where somebody stands, so it stays
                _require_empty(path)  # as it was: another process may have filled it meanwhile
                for file in draft.iterdir():
                    file.rename(path / file.name)
                draft.rmdir()
            else:
                draft.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot write the folder ({error.strerror or error})") from None


def _require_empty(path: Path) -> None:
    if next(path.iterdir(), None):
        raise InputError(f"{path}: already exists; expected a new or an empty folder")


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; if something is raised, what is there is removed, and an OSError names `path`."""
    remove_leftovers(path)
    name = f".{_hash(path.name)}.{platform.node() or 'localhost'}.{os.getpid()}.{next(_counter)}.part"
    draft = path.with_name(name)
    _open.add(name)
    try:
        yield draft
    except BaseException as error:
        with suppress(OSError):
            _remove(draft)
        if isinstance(error, OSError) and (error.filename is None or str(draft) in str(error.filename)):
            error.filename, error.filename2 = str(path), None  # a full disk does not say
        raise
    finally:
        _open.discard(name)


def remove_leftovers(path: Path, *, of_any_machine: bool = False) -> None:
    """Remove temporary files of `path` whose process is gone.

    Of processes on other machines it is not known, unless nobody else can be writing: `of_any_machine`.
    """
    with suppress(OSError):  # what cannot be removed is not in the way
        for part in path.parent.glob(f".{_hash(path.name)}.*.part"):
            found = PART.fullmatch(part.name)
            if found and (of_any_machine or _is_abandoned(found)):
                _remove(part)


def remove_all_leftovers(folder: Path) -> None:
    """Remove all temporary files from a folder to which nobody else can be writing."""
    with suppress(OSError):
        for part in folder.glob(".*.part"):
            if PART.fullmatch(part.name) and part.name not in _open:
                _remove(part)


def _hash(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]


def _is_abandoned(part: re.Match[str]) -> bool:
    process = int(part["process"])
    if process == os.getpid():
        return part.string not in _open
    if part["host"] != (platform.node() or "localhost"):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            _remove(entry)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems know nothing of folders
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.

    Raises
    ------
    InputError
        If a number is not finite.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False)
    except ValueError:
        raise InputError(f"{path}: not written; found a number that is not finite, expected none") from None
    write_text(path, text + "\n")


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, and flush it to the disk; a kill leaves the line or a part of it. OSError names the file."""
    try:
        with path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all."""
    write_bytes(path, pack_tensors(tensors))


def pack_tensors(tensors: dict[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file holds them; a tied weight is in it under each of its names."""
    whole: dict[str, Tensor] = {}
    written = set()
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        whole[name] = held.clone() if held.data_ptr() in written else held
        written.add(held.data_ptr())
    packed: bytes = save(whole)
    return packed


def read_bytes(path: Path, limit: int | None = None, expected: str = "that of a finished run") -> bytes:
    """Read a file.

    Raises
    ------
    InputError
        If it does not exist, is no plain file (a pipe could be waited for in vain), has more than `limit` bytes or cannot be
        read.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a plain file; expected {expected}")
        if limit is not None and path.stat().st_size > limit:
            raise InputError(f"{path}: found {path.stat().st_size} bytes; expected at most {limit}")
        return path.read_bytes()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except MemoryError:
        raise InputError(f"{path}: does not fit into memory") from None


def read_text(path: Path, limit: int = MAX_TEXT, expected: str = "that of a finished run") -> str:
    """Read a text file in UTF-8; raises as `read_bytes`."""
    try:
        return read_bytes(path, limit, expected).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    InputError
        If it cannot be read or is no JSON.
    """
    return parse_json(read_text(path), str(path))


def parse_json(text: str, where: str) -> Any:
    """Read JSON; `where` opens the message of the InputError for what is none. Numbers that are not finite are none."""

    def refuse(constant: str) -> None:
        raise ValueError(f"found {constant}")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not valid JSON") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raises as `read_json`."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}, expected a JSON object")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file onto the CPU.

    Raises
    ------
    InputError
        If the file does not exist or is no whole safetensors file.
    """
    return unpack_tensors(read_bytes(path, expected="the weights of a finished run"), path)


def unpack_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the `content` of a safetensors file; `path` opens the message of the InputError for no such file."""
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # whatever the library may raise for bytes at random
        raise InputError(f"{path}: not a readable safetensors file ({' '.join(str(error).split())})") from None
    return tensors


def tensor_sizes(path: Path) -> Sizes:
    """Read from the head of a safetensors file which tensors it holds, by name, and of what shape.

    Raises
    ------
    InputError
        As `read_tensors`, without reading the tensors themselves.
    """
    if not path.is_file():
        read_bytes(path, 0, expected="the weights of a finished run")  # which says what is wrong
    try:
        with path.open("rb"):  # safetensors says of a file that must not be read that there is none
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({' '.join(str(error).split())})") from None


def check_finite_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Check that all numbers in `tensors` are finite.

    Raises
    ------
    InputError
        Naming `path` and the first tensor that has others.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise InputError(f"{path}: {name} holds numbers that are not finite; expected none")
