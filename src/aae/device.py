"""The machine: which device computes, what it is called, and how its memory is kept."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from aae.errors import InputError


def choose_device(name: str) -> torch.device:
    """Resolve ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        For another name, or for ``cuda`` where there is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; expected auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is not available on this machine; expected auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def describe_device(device: torch.device, processes: int = 1) -> str:
    """Name the hardware: the GPU, or the processor and its number of cores; and how many processes share the work."""
    together = f", {processes} processes" if processes > 1 else ""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device) + together
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {torch.get_num_threads()} threads{together}"


def keep_freed_memory() -> None:
    """Stop glibc from giving freed memory back to the system: every step would fault it in again, page by page.

    A step frees gradients of megabytes and needs them again at once. Does nothing with another C library.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: its maximum, 32 MiB
        libc.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD: 1 GiB


@contextmanager
def usual_arithmetic(*, gradients: bool = False) -> Iterator[None]:
    """Compute as usual, whatever the interpreter is set to; it is set as before at the end.

    Gradients may be switched off, torch may be in inference mode, and numpy may raise an error for every underflow.

    Parameters
    ----------
    gradients : bool
        Whether gradients are needed.
    """
    usual = np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
    with usual, torch.inference_mode(False), torch.set_grad_enabled(gradients):
        yield
