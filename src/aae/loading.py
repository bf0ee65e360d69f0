"""`aae.load`: whatever was saved by this library."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from aae.errors import InputError, unknown
from aae.files import read_object
from aae.runs.run import Run


def load(path: str | Path, device: str = "auto", *, trust_modules: bool = False) -> Any:
    """Load a finished run, a shared run or a fitted estimator from its folder; nothing in it is executed.

    Parameters
    ----------
    path : str or Path
        A run directory, or a folder that `save` of a run or an estimator or `aae.save_pretrained` wrote.
    device : {"auto", "cpu", "cuda"}
        Where the model of a run is put; an estimator is put on the CPU.
    trust_modules : bool
        Whether the modules of custom modules may be imported; see `Run.load`.

    Returns
    -------
    Run or estimator
        Ready to use. Parameters of an estimator that were functions or modules are given to `load` of its class instead.

    Raises
    ------
    InputError
        As `Run.load`, `aae.from_pretrained` and `load` of the estimators.
    """
    record = Path(path) / "estimator.json"
    if not record.is_file():
        return Run.load(path, device, trust_modules=trust_modules)
    if device not in ("auto", "cpu"):
        raise InputError(
            f"{path}: holds an estimator, which is put on the CPU; found device {device!r}, expected 'cpu'"
        )
    estimators = importlib.import_module("aae.estimators")  # slow to import, needed only here
    name = str(read_object(record).get("estimator"))
    known = [one for one in estimators.__all__ if hasattr(getattr(estimators, one), "save")]
    if name not in known:
        raise InputError(f"{record}: {unknown('estimator', name, known)}")
    return getattr(estimators, name).load(path)
