"""Supervised dropout network, the "NN Baseline" of Table 2."""

from __future__ import annotations

from torch import Tensor, nn

from aae import losses as objectives
from aae.model import takes_noise
from aae.networks import Corruption
from aae.noise import Noise
from aae.posteriors import Softmax
from aae.training.phases import Batch, Phase


class SupervisedNetwork(nn.Module):
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


def supervised_phases(model: SupervisedNetwork) -> list[Phase]:
    """List the one phase of a supervised network: the cross-entropy of a labelled mini-batch."""

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        assert batch.labelled_labels is not None
        logits = model.label_logits(batch.labelled_rows, batch.noise)
        return objectives.classification_loss(logits, batch.labelled_labels)

    return [Phase("classification", list(model.parameters()), loss, needs_labels=True)]
