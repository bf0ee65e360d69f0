"""The phases of one training step: what each one minimizes and which weights it owns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from aae import losses as objectives
from aae.errors import InputError
from aae.losses import Reduction
from aae.model import AdversarialAutoencoder, Codes
from aae.noise import Noise


@dataclass
class Batch:
    """What the phases of one step share.

    Attributes
    ----------
    rows : Tensor, (batch, inputs)
        Scaled rows.
    labels : Tensor of int64, (batch,), optional
        Labels of the rows, -1 where unlabelled.
    labelled_rows, labelled_labels : Tensor, (labelled batch, inputs) and (labelled batch,), optional
        Rows of the labelled subset for the classification phase.
    noise : Noise
        Source of everything random in the step.
    codes : dict of str to Tensor, optional
        Codes drawn in the regularization phase, shared by discriminators and generator: the encoder does not change
        between the two.
    metrics : dict of str to Tensor
        Scalars to log beside the losses.
    gather : callable
        Puts the rows that several processes have of something into one tensor, for what is no mean over rows.
    """

    rows: Tensor
    noise: Noise
    labels: Tensor | None = None
    labelled_rows: Tensor | None = None
    labelled_labels: Tensor | None = None
    codes: Codes | None = None
    metrics: dict[str, Tensor] = field(default_factory=dict)
    gather: Callable[[Tensor], Tensor] = lambda rows: rows


@dataclass(frozen=True)
class Phase:
    """One cost, the parameters that lower it, and the name under which optimizer and loss are found."""

    name: str
    parameters: list[nn.Parameter]
    loss: Callable[[Batch], Tensor]
    needs_labels: bool = False
    """Whether the loss uses the labelled batch."""
    start: int = 0
    """First epoch (counted from 0) in which it runs."""
    stop: int | None = None
    """First epoch in which it no longer runs; never stops by default."""

    def without_frozen(self) -> Phase:
        """Leave out the parameters that ask for no gradient.

        Raises
        ------
        InputError
            If that leaves none.
        """
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        if not trained:
            raise InputError(
                f"phase {self.name}: all of its {len(self.parameters)} parameters are frozen; expected at least one that "
                "requires a gradient"
            )
        return replace(self, parameters=trained)

    def runs_in(self, epoch: int) -> bool:
        """Tell whether it runs in `epoch` (counted from 0)."""
        return self.start <= epoch and (self.stop is None or epoch < self.stop)


def reconstruction_phase(model: AdversarialAutoencoder, reduction: Reduction) -> Phase:
    """Encoder and decoder lower the reconstruction error (section 2)."""

    def loss(batch: Batch) -> Tensor:
        codes = model.encode(batch.rows, batch.noise)
        logits = model.decoder_logits(codes, batch.labels, batch.noise)
        return objectives.half_squared_error(model.activate(logits), batch.rows, reduction)

    return Phase("reconstruction", [*model.encoder_parameters(), *model.decoder_parameters()], loss)


def adversarial_phases(
    model: AdversarialAutoencoder,
    reduction: Reduction = "sum",
    *,
    classify: bool = False,
    warm_start: int = 0,
) -> list[Phase]:
    """List the phases of an adversarial autoencoder in the paper's order.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Every latent needs a discriminator.
    reduction : {"sum", "mean"}
        Of the reconstruction error over the dimensions of a row.
    classify : bool
        Whether q(y|x), where the model has it, is also trained on labelled mini-batches (section 5); without labels it
        finds clusters (section 6).
    warm_start : int
        Epochs at the beginning in which mean and covariance of the codes are matched to those of the prior in place of
        the adversarial training. Not in the paper: for runs whose discriminators win from the start.

    Returns
    -------
    list of Phase
        Reconstruction; repulsion of learned cluster heads; moment matching if there is a warm start; regularization
        (discriminators, then the generator); classification if asked for.

    Raises
    ------
    InputError
        If a latent has no discriminator.
    """
    for name in model.latents:
        if model.latent(name).discriminator is None:
            raise InputError(f"latent {name!r} has no discriminator; expected one to match its codes to the prior")

    def discriminator_loss(batch: Batch) -> Tensor:
        batch.codes = model.encode(batch.rows, batch.noise)
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in batch.codes.items():
            latent = model.latent(name)
            labels = batch.labels if latent.label_informed else None
            n = len(codes)
            positives = latent.prior.sample(n, labels, batch.noise)
            both = torch.cat([positives, codes.detach()])
            logits = latent.discriminate(both, None if labels is None else labels.repeat(2), batch.noise)
            total = total + objectives.discriminator_loss(logits[:n], logits[n:])
            accuracy = objectives.discriminator_accuracy(logits[:n], logits[n:])
            batch.metrics[f"{name}_discriminator_accuracy"] = accuracy.detach()
        if "label" in batch.codes:
            shares = getattr(model.latent("label").prior, "probabilities", None)
            batch.metrics["label_entropy_share"] = objectives.mean_entropy_share(
                batch.gather(batch.codes["label"].detach()), shares
            )
        return total

    def generator_loss(batch: Batch) -> Tensor:
        assert batch.codes is not None
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in batch.codes.items():
            latent = model.latent(name)
            total = total + objectives.generator_loss(latent.discriminate(codes, batch.labels, batch.noise))
        return total

    def classification_loss(batch: Batch) -> Tensor:
        assert batch.labelled_rows is not None
        assert batch.labelled_labels is not None
        logits = model.label_logits(batch.labelled_rows, batch.noise)
        return objectives.classification_loss(logits, batch.labelled_labels)

    def moment_matching_loss(batch: Batch) -> Tensor:
        total = torch.zeros((), device=batch.rows.device)
        for name, codes in model.encode(batch.rows, batch.noise).items():
            prior = model.latent(name).prior.sample(len(codes), None, batch.noise)
            total = total + objectives.moment_matching_loss(batch.gather(codes), batch.gather(prior))
        return total

    heads = model.cluster_heads

    def repulsion_loss(batch: Batch) -> Tensor:
        assert heads is not None
        return objectives.repulsion(heads.weight, heads.apart)

    encoder = model.encoder_parameters()
    phases = [reconstruction_phase(model, reduction)]
    if heads is not None and list(heads.parameters()):
        phases.append(Phase("repulsion", list(heads.parameters()), repulsion_loss))
    if warm_start:
        phases.append(Phase("moment_matching", encoder, moment_matching_loss, stop=warm_start))
    phases += [
        Phase("discriminator", model.discriminator_parameters(), discriminator_loss, start=warm_start),
        Phase("generator", encoder, generator_loss, start=warm_start),
    ]
    if classify and model.has_labels:
        classifier = [*model.encoder.parameters(), *model.latent("label").posterior.parameters()]
        phases.append(Phase("classification", classifier, classification_loss, needs_labels=True))
    return phases
