"""One update of the encoder for all of its losses but the reconstruction, in place of one for each; not in the paper."""

from __future__ import annotations

from torch import Tensor

from aae.model import AdversarialAutoencoder
from aae.training.phases.classification import classification_term
from aae.training.phases.consistency import consistency_term
from aae.training.phases.information import information_term
from aae.training.phases.phase import Batch, Phase
from aae.training.phases.regularization import generator_term
from aae.training.settings import LossSettings, OptimizerSettings, Weight

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.002)


def joint_phase(model: AdversarialAutoencoder, settings: LossSettings, *, classify: bool, start: int = 0) -> Phase:
    """Create the phase in which the encoder lowers the weighted sum of its losses; not in the paper.

    It takes the codes that the discriminators were shown, so that a mini-batch is encoded once for all of them.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator; consistency and information need the latent ``label``.
    settings : LossSettings
        Which losses, and their weights.
    classify : bool
        Whether classification on labelled rows is one of them.
    start : int
        First epoch in which it runs, 0 or larger.

    Returns
    -------
    Phase
        ``joint``, which moves the encoder and all heads. It logs each of its losses, without their weights.
    """
    generator = generator_term(model)
    terms = {}
    weights: dict[str, Weight] = {f"generator_{name}": weight for name, weight in settings.generator.items()}
    if settings.consistency is not None:
        terms["consistency"] = consistency_term(model, settings.consistency)
        weights["consistency"] = settings.consistency.weight
    if settings.information is not None:
        terms["information"] = information_term(model, settings.information)
        weights["information"] = settings.information.weight
    if classify:
        weights["classification"] = settings.classification

    def log(batch: Batch, name: str, loss: Tensor) -> Tensor:
        batch.metrics[f"{name}_loss"] = loss.detach()
        return batch.weighted(name, loss)

    def loss(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = generator(batch)
        batch.metrics["generator_loss"] = total.detach()
        for name, term in terms.items():
            total = total + log(batch, name, term(batch, batch.codes["label"]))
        if classify:
            total = total + log(batch, "classification", classification_term(model, batch))
        return total

    return Phase(
        "joint", model.encoder_parameters(), loss, OPTIMIZER, needs_labels=classify, start=start, weights=weights
    )
