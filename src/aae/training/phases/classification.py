"""The classification phase: q(y|x) learns from labelled rows (section 5)."""

from __future__ import annotations

from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings, Weight

OPTIMIZER = OptimizerSettings(learning_rate=0.1, momentum=0.9)  # A.2.1


def classification_term(model: AdversarialAutoencoder, batch: Batch, *, corrupt: bool = True) -> Tensor:
    """Compute the cross-entropy of q(y|x) on the labelled rows of a batch, corrupted or as they are."""
    assert batch.labelled_rows is not None
    assert batch.labelled_labels is not None
    with batch.noise.drawing_for(len(batch.labelled_rows)):
        features = model.features(batch.labelled_rows, batch.noise, corrupt=corrupt)
        logits = model.label_head.label_logits(features)
    return losses.classification_loss(logits, batch.labelled_labels)


def classification_phase(model: AdversarialAutoencoder, weight: Weight = 1.0) -> Phase:
    """Create the phase in which q(y|x) lowers its cross-entropy on a labelled mini-batch (section 5).

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``label``.
    weight : float or dict
        Of the loss: a number, or a schedule from epoch to number.

    Returns
    -------
    Phase
        ``classification``, which moves the encoder and the label's head.
    """

    def loss(batch: Batch) -> Tensor:
        return batch.weighted("classification", classification_term(model, batch))

    weights = {} if weight == 1 else {"classification": weight}
    return Phase("classification", model.classifier_parameters(), loss, OPTIMIZER, needs_labels=True, weights=weights)
