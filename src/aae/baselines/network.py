"""Supervised dropout network, the "NN Baseline" of Table 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from aae import losses
from aae.baselines.method import Baseline
from aae.model import Model
from aae.networks import Corruption, takes_noise
from aae.noise import Noise
from aae.posteriors import Softmax
from aae.training.phases import Batch, Phase
from aae.training.phases.classification import OPTIMIZER

if TYPE_CHECKING:
    from aae.recipes.build_model import Networks
    from aae.recipes.model_settings import ModelSettings
    from aae.recipes.schema import Recipe


class SupervisedNetwork(Model):
    """The encoder and label head of the semi-supervised model alone.

    Parameters
    ----------
    encoder : torch.nn.Module
        Maps flat rows (batch, inputs) to features. If its ``forward`` has a parameter `noise`, it is given the
        run's `Noise` at training time.
    head : Softmax
        Maps features to class probabilities.
    corruption : Corruption, optional
        Noise on the input at training time.
    """

    description = "supervised network"
    classifies = True

    def __init__(self, encoder: nn.Module, head: Softmax, corruption: Corruption | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.corruption = corruption or Corruption()
        self._encoder_takes_noise = takes_noise(encoder)

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of p(y|x) for rows (batch, inputs)."""
        x = self.corruption(rows, noise)
        return self.head.logits(self.encoder(x, noise) if self._encoder_takes_noise else self.encoder(x))


def labelled_term(model: Model, batch: Batch) -> Tensor:
    """Compute the cross-entropy of p(y|x) on the labelled rows of a batch, with the noise of training."""
    assert batch.labelled_rows is not None
    assert batch.labelled_labels is not None
    with batch.noise.drawing_for(len(batch.labelled_rows)):
        logits = model.label_logits(batch.labelled_rows, batch.noise)
    return losses.classification_loss(logits, batch.labelled_labels)


def supervised_phases(model: SupervisedNetwork) -> list[Phase]:
    """Create the one phase of a supervised network: the cross-entropy of a labelled mini-batch."""

    def loss(batch: Batch) -> Tensor:
        return labelled_term(model, batch)

    return [Phase("classification", list(model.parameters()), loss, OPTIMIZER, needs_labels=True)]


class Network(Baseline):
    """The dropout network of Table 2 as a recipe's method."""

    name = "network"
    convolutions = frozenset({"encoder"})
    labelled_only = True
    makes_rows = False

    def check(self, settings: ModelSettings) -> None:
        """Check that the label is the only latent."""
        super().check(settings)
        self.require_label_alone(settings)

    def build(self, networks: Networks) -> SupervisedNetwork:
        """Create the encoder and the label's head alone."""
        return networks.classifier()

    def phases(self, recipe: Recipe, model: Model) -> list[Phase]:
        """Create the one phase of a supervised network."""
        return supervised_phases(cast(SupervisedNetwork, model))
