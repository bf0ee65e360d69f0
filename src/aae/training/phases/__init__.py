"""The phases of one training step, one file each: what each one minimizes, which weights it owns, and its optimizer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import get_args

from aae.errors import InputError, unknown
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder
from aae.training.clusters import assignment
from aae.training.phases.classification import classification_phase
from aae.training.phases.consistency import consistency_phase
from aae.training.phases.information import information_phase
from aae.training.phases.joint import joint_phase
from aae.training.phases.moment_matching import moment_matching_phase
from aae.training.phases.phase import Batch, Phase
from aae.training.phases.reconstruction import reconstruction_phase
from aae.training.phases.regularization import discriminator_phase, generator_phase
from aae.training.phases.repulsion import repulsion_phase
from aae.training.settings import LossSettings, TrainingSettings, Weight

__all__ = [
    "Batch",
    "Phase",
    "adversarial_phases",
    "classification_phase",
    "configured_phases",
    "consistency_phase",
    "discriminator_phase",
    "generator_phase",
    "information_phase",
    "joint_phase",
    "moment_matching_phase",
    "reconstruction_phase",
    "repulsion_phase",
]


def adversarial_phases(
    model: AdversarialAutoencoder,
    reduction: Reduction = "sum",
    *,
    classify: bool = False,
    start_weight: Weight = 0.0,
    moment_matching_epochs: int = 0,
    losses: LossSettings | None = None,
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
    start_weight : float or dict
        Weight of the cross-entropy of q(y|x) with labels to start from in a joint update, a number or by epoch. Not in the paper.
    moment_matching_epochs : int
        Epochs at the beginning in which mean and covariance of the codes are matched to those of the prior in place of
        the adversarial training. Not in the paper: for runs whose discriminators win from the start.
    losses : LossSettings, optional
        Weights of the losses, and what is added beside the paper's: consistency and information, each as a phase or all in one
        joint update.

    Returns
    -------
    list of Phase
        Reconstruction; repulsion of learned cluster heads; moment matching if there are epochs of it; regularization
        (discriminators, then the generator); classification if asked for; consistency and information where they are set.

    Raises
    ------
    InputError
        If a latent has no discriminator, `reduction` is none of these, or a loss is of a latent that the model does not have.
    """
    if reduction not in get_args(Reduction):
        raise InputError(f"reduction is {reduction!r}; expected one of: {', '.join(get_args(Reduction))}")
    heads, losses = model.cluster_heads, losses or LossSettings()
    _check_losses(model, losses)
    classify, start = classify and model.classifies, moment_matching_epochs
    apart = losses.reconstruction is None
    phases = [reconstruction_phase(model, reduction, statistics=not losses.joint)] if apart else []
    if heads is not None and list(heads.parameters()):
        phases.append(repulsion_phase(heads))
    if moment_matching_epochs:
        phases.append(moment_matching_phase(model, moment_matching_epochs))
    matching = losses.matching
    if matching.discriminates:
        phases.append(discriminator_phase(model, start, matching, corrupt=not losses.joint))
    first = losses.clustering
    if first is not None:
        begin = assignment(model, first, labelled=classify)
        phases.append(joint_phase(model, first, reduction, name="clustering", start=start, stop=first.epochs))
        return [*phases, joint_phase(model, losses, reduction, classify=classify, start=first.epochs, begin=begin)]
    if losses.joint:
        return [
            *phases,
            joint_phase(model, losses, reduction, classify=classify, start_weight=start_weight, start=start),
        ]
    phases.append(generator_phase(model, start, losses.generator, matching))
    if classify:
        phases.append(classification_phase(model, losses.classification))
    if losses.consistency is not None:
        phases.append(consistency_phase(model, losses.consistency))
    if losses.information is not None:
        phases.append(information_phase(model, losses.information))
    return phases


def _check_losses(model: AdversarialAutoencoder, losses: LossSettings) -> None:
    for name in losses.generator:
        if name not in model.latents:
            raise unknown("latent in training.losses.generator", name, model.latents)
    for name in ("consistency", "information"):
        if getattr(losses, name) is not None and not model.classifies:
            raise InputError(
                f"training.losses.{name} is about q(y|x); the model has no categorical latent, expected 'label'"
            )
    if losses.linked is not None and model.cluster_heads is None and list(model.latents) != ["style"]:
        raise InputError(
            f"training.losses.neighbour_graph is about a map; the code of the model is {' and '.join(model.latents)} side by "
            "side, expected model.cluster_heads or the style alone"
        )


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
    given, matching = settings.named_optimizers, settings.losses.matching
    for name in given:
        if name == "discriminator" and not matching.discriminates:  # of a recipe whose objective was changed
            print(
                f"note: training.discriminator is not used: objective {matching.objective!r} has none", file=sys.stderr
            )
        elif name not in names:
            raise unknown("phase in training", name, names)
    return [
        (phase.with_optimizer(given[phase.name]) if phase.name in given else phase).without_frozen() for phase in phases
    ]
