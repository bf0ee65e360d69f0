"""What all readers need: local paths, files that turn out damaged, and memory that is asked for before it is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aae.errors import InputError, InputWarning, reason


def local_path(source: str | Path) -> Path:
    """Return the path that a person or a recipe means, whatever the encoding of file names is here.

    Raises
    ------
    InputError
        The home folder of an unknown user, or a name that no file can have.
    """
    text = os.fspath(source)
    try:
        try:
            os.fsencode(text)
        except UnicodeEncodeError:  # recipes are UTF-8, and so are the names of files on most disks
            text = os.fsdecode(text.encode("utf-8", "surrogateescape"))
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{source}: found no path of a file or folder ({reason(error)}), expected one") from None
    return path


def as_text(argument: str | Path) -> str:
    """Return an argument of the command line as text that can be written in UTF-8, which it mostly is, whatever the locale."""
    text = os.fspath(argument)
    try:
        return os.fsencode(text).decode("utf-8") if _has_bytes(text) else text
    except UnicodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _has_bytes(text: str) -> bool:
    """Check whether a text holds bytes that were no text."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def readable_name(path: Path) -> str:
    """Return the path (with ``/``) as text that can be written in UTF-8; bytes that are none are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def check_regular(path: Path) -> None:
    """Check that a path is a file or a folder, and no device or pipe, which might never end; InputError otherwise."""
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: found a device, pipe or socket, expected a file or folder")


@contextmanager
def damaged(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever another library says about a file into an InputError: their exceptions on damaged files are of all kinds."""
    try:
        yield
    except (InputError, InputWarning):
        raise
    except MemoryError:
        raise InputError(f"{path}: found more than memory can hold, expected {expected}") from None
    except Exception as error:
        raise InputError(f"{path}: found a file that cannot be read ({reason(error)}), expected {expected}") from error


def require_memory(size: int, where: str) -> None:
    """Check that `size` bytes can be had.

    Raises
    ------
    InputError
        If they cannot: they may be far more than the file, when it is packed or damaged.
    """
    available = free_memory()
    if size > available:
        raise InputError(
            f"{where}: found data of {size / 1e9:.1f} GB, expected at most the {available / 1e9:.1f} GB of free memory"
        )


def free_memory() -> float:
    """Return how many bytes this process can still take, infinity where that is unknown."""
    limits = [float("inf")]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits += [1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # of a container
        limit = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        limits.append(limit - float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError, IndexError):  # of the shell: ulimit -v
        import resource  # not on Windows

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            limits.append(soft - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0.0, min(limits))
