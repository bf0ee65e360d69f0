"""What the paper compares with and we can run ourselves: a model, its phases and its method a file."""

from aae.baselines.gan import GAN, GenerativeAdversarialNetwork, generative_adversarial_phases
from aae.baselines.gmmn import GMMN, GeneratedPrior, SigmoidCode, moment_matching_phases
from aae.baselines.network import Network, SupervisedNetwork, supervised_phases
from aae.baselines.vae import VAE, variational_phases

__all__ = [
    "GAN",
    "GMMN",
    "VAE",
    "GeneratedPrior",
    "GenerativeAdversarialNetwork",
    "Network",
    "SigmoidCode",
    "SupervisedNetwork",
    "generative_adversarial_phases",
    "moment_matching_phases",
    "supervised_phases",
    "variational_phases",
]
