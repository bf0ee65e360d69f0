"""The machine: which device computes, what it is called, how its memory is kept, and the state in which torch computes."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch

from aae.errors import InputError

_PROCESS = os.getpid()  # that has imported this; another one is a fork of it


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
def usual_state() -> Iterator[None]:
    """Compute as in an interpreter where nobody has changed anything; a decorator too. Afterwards all is as it was.

    A person may have switched gradients off, made another type or device the default, entered autocast, or had numpy raise where
    it would warn; what is trained, loaded and computed here is to be the same. A forked process computes with one thread.
    """
    if os.getpid() != _PROCESS:  # threads of the parent are not there, and would be waited for
        torch.set_num_threads(1)
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield
