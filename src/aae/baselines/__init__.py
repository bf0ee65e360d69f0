"""What the paper compares with and we can run ourselves."""

from aae.baselines.network import SupervisedNetwork, supervised_phases
from aae.baselines.vae import variational_phases

__all__ = ["SupervisedNetwork", "supervised_phases", "variational_phases"]
