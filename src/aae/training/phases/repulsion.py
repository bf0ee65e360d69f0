"""The repulsion of cluster heads in dimensionality reduction (section 7)."""

from __future__ import annotations

from torch import Tensor

from aae import losses
from aae.latents import ClusterHeads
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings

OPTIMIZER = OptimizerSettings(learning_rate=0.01)


def repulsion_phase(heads: ClusterHeads) -> Phase:
    """Create the phase that moves cluster heads apart that are nearer to each other than their margin (section 7).

    Parameters
    ----------
    heads : ClusterHeads
        Learned ones.

    Returns
    -------
    Phase
        ``repulsion``.
    """

    def loss(batch: Batch) -> Tensor:
        return losses.repulsion(heads.weight, heads.margin)

    return Phase("repulsion", list(heads.parameters()), loss, OPTIMIZER)
