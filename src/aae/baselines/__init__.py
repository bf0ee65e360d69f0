"""What the paper compares with and we can run ourselves."""

from aae.baselines.gan import GenerativeAdversarialNetwork, generative_adversarial_phases
from aae.baselines.gmmn import GeneratedPrior, SigmoidCode, moment_matching_phases
from aae.baselines.network import SupervisedNetwork, supervised_phases
from aae.baselines.vae import variational_phases

__all__ = [
    "GeneratedPrior",
    "GenerativeAdversarialNetwork",
    "SigmoidCode",
    "SupervisedNetwork",
    "generative_adversarial_phases",
    "moment_matching_phases",
    "supervised_phases",
    "variational_phases",
]
