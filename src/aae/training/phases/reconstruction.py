"""The reconstruction phase: encoder and decoder lower the reconstruction error (section 2)."""

from __future__ import annotations

from torch import Tensor

from aae.losses import Reduction
from aae.model import AdversarialAutoencoder
from aae.networks import batch_norms, frozen_statistics
from aae.training.phases.phase import Batch, Phase
from aae.training.settings import OptimizerSettings

OPTIMIZER = OptimizerSettings(learning_rate=0.01, momentum=0.9)  # A.2.1


def reconstruction_phase(
    model: AdversarialAutoencoder, reduction: Reduction = "sum", *, statistics: bool = True
) -> Phase:
    """Create the phase in which encoder and decoder minimize half the squared error (section 2), or -log p(x|z).

    Parameters
    ----------
    model : AdversarialAutoencoder
        What to train.
    reduction : {"sum", "mean"}
        Over the dimensions of a row.
    statistics : bool
        Whether the running statistics of batch normalization follow these passes, whose rows are corrupted.

    Returns
    -------
    Phase
        ``reconstruction``.
    """
    norms = [] if statistics else batch_norms(model.encoder)

    def loss(batch: Batch) -> Tensor:
        with frozen_statistics(norms):
            codes = model.encode(batch.rows, batch.noise)
        return model.reconstruction_loss(codes, batch.rows, reduction, batch.labels, batch.noise, batch.observed)

    return Phase("reconstruction", [*model.encoder_parameters(), *model.decoder_parameters()], loss, OPTIMIZER)
