"""One update of the encoder for all of its losses but the reconstruction, in place of one for each; not in the paper."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from aae.losses import Reduction, start_loss
from aae.model import AdversarialAutoencoder
from aae.networks import batch_norms, frozen_statistics
from aae.training.data import TrainingData
from aae.training.phases.classification import classification_term
from aae.training.phases.consistency import consistency_term
from aae.training.phases.information import information_term
from aae.training.phases.neighbour_graph import neighbour_graph_term
from aae.training.phases.phase import Batch, Phase
from aae.training.phases.regularization import generator_term
from aae.training.settings import JointSettings, OptimizerSettings, Weight

OPTIMIZER = OptimizerSettings(optimizer="adam", learning_rate=0.002)


def joint_phase(
    model: AdversarialAutoencoder,
    settings: JointSettings,
    reduction: Reduction = "sum",
    *,
    name: str = "joint",
    classify: bool = False,
    start_weight: Weight = 0.0,
    start: int = 0,
    stop: int | None = None,
    begin: Callable[[TrainingData], None] | None = None,
) -> Phase:
    """Create the phase in which the encoder lowers the weighted sum of its losses; not in the paper.

    It takes the codes that the discriminators were shown, so that a mini-batch is encoded once for all of them. Rows are not
    corrupted, and the running statistics of batch normalization follow those of the mini-batch alone: they are what a trained
    model will see.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator; consistency and information need the latent ``label``.
    settings : JointSettings
        Which losses, and their weights.
    reduction : {"sum", "mean"}
        Of the reconstruction error over the dimensions of a row, where it is one of them.
    name : str
        Of the phase.
    classify : bool
        Whether classification on labelled rows is one of them.
    start_weight : float or dict
        Weight of the cross-entropy with the labels that q(y|x) starts from, if the rows have such.
    start, stop, begin
        As for every `Phase`.

    Returns
    -------
    Phase
        It moves the encoder and all heads, with the reconstruction the decoder too, and logs each of its losses without their
        weights.
    """
    generator = generator_term(model)
    terms = {}
    weights: dict[str, Weight] = {f"generator_{latent}": weight for latent, weight in settings.generator.items()}
    if settings.consistency is not None:
        terms["consistency"] = consistency_term(model, settings.consistency)
        weights["consistency"] = settings.consistency.weight
    if settings.information is not None:
        terms["information"] = information_term(model, settings.information)
        weights["information"] = settings.information.weight
    graph = None
    if settings.neighbour_graph is not None:
        graph = neighbour_graph_term(model, settings.neighbour_graph)
        weights["neighbour_graph"] = settings.neighbour_graph.weight
    if classify:
        weights["classification"] = settings.classification
    if start_weight:
        weights["start"] = start_weight
    if settings.reconstruction is not None:
        weights["reconstruction"] = settings.reconstruction
    norms = batch_norms(model)

    def labelled(batch: Batch) -> Tensor:
        with frozen_statistics(norms):
            return classification_term(model, batch, corrupt=False)

    def log(batch: Batch, name: str, loss: Tensor) -> Tensor:
        batch.metrics[f"{name}_loss"] = loss.detach()
        return batch.weighted(name, loss)

    def loss(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = generator(batch)
        batch.metrics["generator_loss"] = total.detach()
        if terms or start_weight:
            probabilities = model.label_head.label_probabilities(batch.codes["label"])
        for term_name, term in terms.items():
            total = total + log(batch, term_name, term(batch, probabilities))
        if graph is not None:
            total = total + log(batch, "neighbour_graph", graph(batch))
        if classify:
            total = total + log(batch, "classification", labelled(batch))
        if start_weight and batch.start is not None:
            total = total + log(batch, "start", start_loss(probabilities, batch.start))
        if settings.reconstruction is not None:
            reconstruction = model.reconstruction_loss(
                batch.codes, batch.rows, reduction, batch.labels, batch.noise, batch.observed
            )
            total = total + log(batch, "reconstruction", reconstruction)
        return total

    parameters = model.encoder_parameters()
    if settings.reconstruction is not None:
        parameters += model.decoder_parameters()
    return Phase(name, parameters, loss, OPTIMIZER, classify, start, stop, weights, begin)
