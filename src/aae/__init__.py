"""Adversarial autoencoders (Makhzani et al., arXiv 1511.05644).

`train` a recipe into a run folder and `load` it again, or build an `AdversarialAutoencoder` of your own parts and `fit` it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aae.experiment import train as train
    from aae.fitting import fit as fit
    from aae.model import AdversarialAutoencoder as AdversarialAutoencoder
    from aae.model import Latent as Latent
    from aae.networks import MLP as MLP
    from aae.run import Run as Run
    from aae.run import load as load

__version__ = "0.1.0"

_HOMES = {
    "AdversarialAutoencoder": "aae.model",
    "Latent": "aae.model",
    "MLP": "aae.networks",
    "Run": "aae.run",
    "fit": "aae.fitting",
    "load": "aae.run",
    "train": "aae.experiment",
}
_ROOMS = ("evaluation", "posteriors", "priors", "recipes")

__all__ = ["MLP", "AdversarialAutoencoder", "Latent", "Run", "fit", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``aae --help`` need not wait for torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"aae.{name}")
    raise AttributeError(f"module 'aae' has no attribute {name!r}")
