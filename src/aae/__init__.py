"""Adversarial autoencoders (Makhzani et al., arXiv 1511.05644).

`train` a recipe into a run folder and `load` it again, build an `AdversarialAutoencoder` from your own networks and `fit` it, or
use the estimators, which have the habits of scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aae._version import __version__ as __version__

if TYPE_CHECKING:
    from aae.data.dataset import Dataset as Dataset
    from aae.data.dataset import Split as Split
    from aae.estimators import AAE as AAE
    from aae.estimators import AAEClusterer as AAEClusterer
    from aae.estimators import AAEEmbedding as AAEEmbedding
    from aae.estimators import SemiSupervisedAAE as SemiSupervisedAAE
    from aae.estimators import SupervisedAAE as SupervisedAAE
    from aae.evaluation.parzen import parzen_log_likelihood as parzen_log_likelihood
    from aae.latents import Latent as Latent
    from aae.loading import load as load
    from aae.model import AdversarialAutoencoder as AdversarialAutoencoder
    from aae.networks import MLP as MLP
    from aae.runs.hub import from_pretrained as from_pretrained
    from aae.runs.hub import push_to_hub as push_to_hub
    from aae.runs.hub import save_pretrained as save_pretrained
    from aae.runs.run import Run as Run
    from aae.runs.train import train as train
    from aae.sweeps.queue import sweep as sweep
    from aae.training.fit import fit as fit
    from aae.training.phases import Batch as Batch
    from aae.training.phases import Phase as Phase
    from aae.training.phases import adversarial_phases as adversarial_phases
    from aae.training.settings import OptimizerSettings as OptimizerSettings

_HOMES = {
    "AAE": "aae.estimators",
    "AAEClusterer": "aae.estimators",
    "AAEEmbedding": "aae.estimators",
    "AdversarialAutoencoder": "aae.model",
    "Batch": "aae.training.phases",
    "Dataset": "aae.data.dataset",
    "Latent": "aae.latents",
    "MLP": "aae.networks",
    "OptimizerSettings": "aae.training.settings",
    "Phase": "aae.training.phases",
    "Run": "aae.runs.run",
    "SemiSupervisedAAE": "aae.estimators",
    "Split": "aae.data.dataset",
    "SupervisedAAE": "aae.estimators",
    "adversarial_phases": "aae.training.phases",
    "fit": "aae.training.fit",
    "from_pretrained": "aae.runs.hub",
    "load": "aae.loading",
    "parzen_log_likelihood": "aae.evaluation.parzen",
    "push_to_hub": "aae.runs.hub",
    "save_pretrained": "aae.runs.hub",
    "sweep": "aae.sweeps.queue",
    "train": "aae.runs.train",
}
_MODULES = (
    *("callbacks", "data", "errors", "estimators", "evaluation", "figures", "losses", "networks", "noise"),
    *("posteriors", "priors", "recipes", "scaling", "sweeps"),
)

__all__ = [
    "AAE",
    "MLP",
    "AAEClusterer",
    "AAEEmbedding",
    "AdversarialAutoencoder",
    "Batch",
    "Dataset",
    "Latent",
    "OptimizerSettings",
    "Phase",
    "Run",
    "SemiSupervisedAAE",
    "Split",
    "SupervisedAAE",
    "adversarial_phases",
    "fit",
    "from_pretrained",
    "load",
    "parzen_log_likelihood",
    "push_to_hub",
    "save_pretrained",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``aae --help`` need not wait for torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"aae.{name}")
    raise AttributeError(f"module 'aae' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for completion in an interactive session."""
    return sorted({*__all__, *_MODULES})
