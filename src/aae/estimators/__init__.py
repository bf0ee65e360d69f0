"""Estimators with the habits of scikit-learn over the models of the paper: arrays in, arrays out, nothing on disk."""

from aae.estimators.autoencoder import AAE
from aae.estimators.clustering import AAEClusterer
from aae.estimators.embedding import AAEEmbedding
from aae.estimators.semi_supervised import SemiSupervisedAAE
from aae.estimators.splitting import LabelledKFold, labelled_accuracy
from aae.estimators.supervised import SupervisedAAE

__all__ = [
    "AAE",
    "AAEClusterer",
    "AAEEmbedding",
    "LabelledKFold",
    "SemiSupervisedAAE",
    "SupervisedAAE",
    "labelled_accuracy",
]
