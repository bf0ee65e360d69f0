"""The classification phase: q(y|x) learns from labelled rows (section 5)."""

from __future__ import annotations

from torch import Tensor

from aae import losses
from aae.model import AdversarialAutoencoder
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings

OPTIMIZER = OptimizerSettings(learning_rate=0.1, momentum=0.9)  # A.2.1


def classification_phase(model: AdversarialAutoencoder) -> Phase:
    """Create the phase in which q(y|x) lowers its cross-entropy on a labelled mini-batch (section 5).

    Parameters
    ----------
    model : AdversarialAutoencoder
        With the latent ``label``.

    Returns
    -------
    Phase
        ``classification``, which moves the encoder and the label's head.
    """

    def loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        assert batch.labelled_labels is not None
        logits = model.label_logits(batch.labelled_rows, batch.noise)
        return losses.classification_loss(logits, batch.labelled_labels)

    parameters = [*model.encoder.parameters(), *model.latent("label").posterior.parameters()]
    return Phase("classification", parameters, loss, OPTIMIZER, needs_labels=True)
