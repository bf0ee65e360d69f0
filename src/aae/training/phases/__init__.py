"""The phases of one training step, one file each: what each one minimizes, which weights it owns, and its optimizer."""

from __future__ import annotations

from collections.abc import Sequence

from aae.errors import InputError, unknown
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder
from aae.training.phases.classification import classification_phase
from aae.training.phases.moment_matching import moment_matching_phase
from aae.training.phases.phase import Batch, Phase
from aae.training.phases.reconstruction import reconstruction_phase
from aae.training.phases.regularization import regularization_phases
from aae.training.phases.repulsion import repulsion_phase
from aae.training.settings import TrainingSettings

__all__ = [
    "Batch",
    "Phase",
    "adversarial_phases",
    "classification_phase",
    "configured_phases",
    "moment_matching_phase",
    "reconstruction_phase",
    "regularization_phases",
    "repulsion_phase",
]


def adversarial_phases(
    model: AdversarialAutoencoder,
    reduction: Reduction = "sum",
    *,
    classify: bool = False,
    moment_matching_epochs: int = 0,
) -> list[Phase]:
    """Create the phases of an adversarial autoencoder in the paper's order.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    reduction : {"sum", "mean"}
        Of the reconstruction error over the dimensions of a row.
    classify : bool
        Whether q(y|x), where the model has it, is also trained on labelled mini-batches (section 5); without labels it
        finds clusters (section 6).
    moment_matching_epochs : int
        Epochs at the beginning in which mean and covariance of the codes are matched to those of the prior in place of
        the adversarial training. Not in the paper: for runs whose discriminators win from the start.

    Returns
    -------
    list of Phase
        Reconstruction; repulsion of learned cluster heads; moment matching if there are epochs of it; regularization
        (discriminators, then the generator); classification if asked for.

    Raises
    ------
    InputError
        If a latent has no discriminator.
    """
    heads = model.cluster_heads
    phases = [reconstruction_phase(model, reduction)]
    if heads is not None and list(heads.parameters()):
        phases.append(repulsion_phase(heads))
    if moment_matching_epochs:
        phases.append(moment_matching_phase(model, moment_matching_epochs))
    phases += regularization_phases(model, start=moment_matching_epochs)
    if classify and model.classifies:
        phases.append(classification_phase(model))
    return phases


def configured_phases(phases: Sequence[Phase], settings: TrainingSettings) -> list[Phase]:
    """Create the phases of a run: with the optimizers that `settings` name, and without parameters that are frozen.

    Parameters
    ----------
    phases : sequence of Phase
        In the order in which they run on each mini-batch.
    settings : TrainingSettings
        Its further keys are names of phases.

    Returns
    -------
    list of Phase
        In the same order.

    Raises
    ------
    InputError
        If two phases have the same name, a name in the settings is none of theirs, or a phase has nothing to train.
    """
    names = [phase.name for phase in phases]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{names.count(name)} phases are called {name!r}; expected a name of its own for each")
    given = settings.named_optimizers
    for name in given:
        if name not in names:
            raise unknown("phase in training", name, names)
    return [
        (phase.with_optimizer(given[phase.name]) if phase.name in given else phase).without_frozen() for phase in phases
    ]
