"""What the paper compares with and we can run ourselves: a model, its phases and its method a file."""

from aae.baselines.adgm import ADGM, AuxiliaryDeepGenerativeModel
from aae.baselines.autoencoder import Autoencoder
from aae.baselines.cae import CAE, StackedContractiveAutoencoder, contractive_phases
from aae.baselines.catgan import CategoricalGAN, CatGAN, categorical_adversarial_phases
from aae.baselines.dbn import DBN, DeepBeliefNetwork, contrastive_phases
from aae.baselines.gan import GAN, GenerativeAdversarialNetwork, generative_adversarial_phases
from aae.baselines.gmmn import GMMN, GeneratedPrior, SigmoidCode, moment_matching_phases
from aae.baselines.gsn import GSN, GenerativeStochasticNetwork, walkback_phases
from aae.baselines.ladder import Ladder, LadderNetwork, ladder_phases
from aae.baselines.m1_tsvm import M1TSVM, CodesWithMachine, transductive_phases
from aae.baselines.m1m2 import M1M2, StackedGenerativeModel, stacked_phases
from aae.baselines.m2 import M2, DeepGenerativeModel, generative_phases
from aae.baselines.network import Network, SupervisedNetwork, supervised_phases
from aae.baselines.tsne import TSNE, neighbour_phases
from aae.baselines.vae import VAE, variational_phases
from aae.baselines.vat import VAT, virtual_adversarial_phases

__all__ = [
    "ADGM",
    "CAE",
    "DBN",
    "GAN",
    "GMMN",
    "GSN",
    "M1M2",
    "M1TSVM",
    "M2",
    "TSNE",
    "VAE",
    "VAT",
    "Autoencoder",
    "AuxiliaryDeepGenerativeModel",
    "CatGAN",
    "CategoricalGAN",
    "CodesWithMachine",
    "DeepBeliefNetwork",
    "DeepGenerativeModel",
    "GeneratedPrior",
    "GenerativeAdversarialNetwork",
    "GenerativeStochasticNetwork",
    "Ladder",
    "LadderNetwork",
    "Network",
    "SigmoidCode",
    "StackedContractiveAutoencoder",
    "StackedGenerativeModel",
    "SupervisedNetwork",
    "categorical_adversarial_phases",
    "contractive_phases",
    "contrastive_phases",
    "generative_adversarial_phases",
    "generative_phases",
    "ladder_phases",
    "moment_matching_phases",
    "neighbour_phases",
    "stacked_phases",
    "supervised_phases",
    "transductive_phases",
    "variational_phases",
    "virtual_adversarial_phases",
    "walkback_phases",
]
