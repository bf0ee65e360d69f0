"""Training a model of custom modules on arrays, without a recipe or a run folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from aae.arrays import ArrayLike, as_labels, as_numpy
from aae.device import choose_device, usual_state
from aae.errors import CallbackError, InputError
from aae.model import AdversarialAutoencoder
from aae.noise import Noise, seeded
from aae.posteriors import Softmax
from aae.scaling import Scaling
from aae.training.callbacks import AnyCallback, Training, call, check_callbacks
from aae.training.data import TrainingData
from aae.training.phases import Phase, adversarial_phases
from aae.training.radii import neighbour_links, neighbour_radii
from aae.training.settings import TrainingSettings, validation_message
from aae.training.signals import interrupts
from aae.training.trainer import Trainer


@usual_state()
def fit(
    model: AdversarialAutoencoder,
    rows: NDArray[Any],
    labels: ArrayLike | None = None,
    *,
    phases: Sequence[Phase] | None = None,
    callbacks: Sequence[AnyCallback] | None = None,
    device: str = "auto",
    **settings: Any,
) -> list[dict[str, float]]:
    """Train a model on arrays.

    Parameters
    ----------
    model : AdversarialAutoencoder
        Changed in place: trained, on `device`, in evaluation mode.
    rows : array, (n, inputs)
        Training rows, as the encoder is to see them.
    labels : array of whole numbers, (n,), optional
        Class numbers, -1 for unlabelled rows. They reach whatever uses labels in the model.
    phases : sequence of Phase, optional
        What runs on every mini-batch, in this order. By default those of `adversarial_phases`; to put one of your own beside
        them, give ``[*aae.adversarial_phases(model), mine]``.
    callbacks : sequence of Callback or callable, optional
        See `aae.callbacks`.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    **settings
        As in a recipe's ``[training]`` section: `epochs` (by default 20), `batch_size`, `seed`, `precision`, `compile`, and by
        the name of a phase a dictionary of what is to be different in its optimizer: ``generator={"learning_rate": 0.05}``.

    Returns
    -------
    list of dict
        Per epoch the mean losses and what the phases log. After Ctrl-C those of the epochs until then: the model keeps what was
        learnt, and a warning says so.

    Raises
    ------
    InputError
        If rows, labels and settings do not fit the model.
    TrainingError
        If a loss is not finite.
    CallbackError
        If a callback fails; the model keeps what was learnt until then.
    """
    if not isinstance(model, AdversarialAutoencoder):
        raise InputError(f"model is a {type(model).__name__}; expected an AdversarialAutoencoder")
    if phases is not None:
        alone = isinstance(phases, Phase)
        phases = [phases] if isinstance(phases, Phase) else list(phases)
        if alone or not phases or not all(isinstance(phase, Phase) for phase in phases):
            found = ", ".join(type(one).__name__ for one in phases) or "empty"
            raise InputError(f"phases is {found}; expected a list of Phase")
    values = as_numpy(rows)
    numbers = values.dtype.kind in "biuf"
    with np.errstate(over="ignore"):
        tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32)) if numbers else torch.empty(0)
    if values.ndim != 2 or not len(values) or not numbers or not torch.isfinite(tensor).all():
        raise InputError(
            f"rows are {values.dtype} of shape {values.shape}; expected (n, inputs), n at least 1, all values finite in float32"
        )
    known, labelled = None, None
    if labels is not None:
        known = torch.from_numpy(as_labels(labels, "labels"))
        if known.shape != (len(values),):
            raise InputError(f"labels have shape {tuple(known.shape)}; expected ({len(values)},)")
        labelled = (known >= 0).nonzero()[:, 0]
        classes = _classes(model)
        lowest = -1 if model.decoder_classes is None else 0
        if classes is None and phases is None:
            named = [name for name in model.latents if isinstance(model.latent(name).posterior, Softmax)]
            found = f" (found {named[0]!r} in place of 'label')" if named else ""
            raise InputError(
                f"labels are given, and no part of the model uses them{found}; expected a latent 'label' with a Softmax "
                "posterior, a decoder or a discriminator that sees labels, phases that do, or no labels"
            )
        if classes is not None and len(known) and not (lowest <= int(known.min()) and int(known.max()) < classes):
            found = f"{int(known.min())} to {int(known.max())}"
            raise InputError(f"labels are {found}; the model expects {lowest} to {classes - 1}")
    callbacks = check_callbacks(callbacks)
    validation = ("early_stopping", "patience", "keep_best", "tolerance", "monitor")
    for name in ("pretraining", "validate_every", "checkpoint_every", *validation):
        if name in settings:
            raise InputError(f"{name} is {settings[name]!r}; fit does nothing of the kind and expects none")
    try:
        training = TrainingSettings(**{"epochs": 20, **settings})
    except ValidationError as error:
        raise InputError(validation_message(error)) from None
    frozen = next((name for name, parameter in model.named_parameters() if parameter.is_inference()), None)
    if frozen is not None:
        raise InputError(f"{frozen} was made in inference mode; expected a model that can be trained")
    torch_device = choose_device(device)
    history: list[dict[str, float]] = []
    # Samplers and modules may draw from torch itself, whose generators are as before at the end.
    with seeded(training.seed, torch_device):
        model.float().to(torch_device)
        _try(model, values.shape[1], torch_device)
        scaling = Scaling.identity()
        radii = None
        if training.losses.neighbours is not None:
            radii = neighbour_radii(tensor, scaling, training.losses.neighbours, later=training.losses.later_neighbours)
        links = None
        if training.losses.linked is not None:
            links = neighbour_links(tensor, scaling, training.losses.linked)
        data = TrainingData(tensor, scaling, known, labelled, radii, links).to(torch_device)
        classify = labelled is not None and len(labelled) > 0
        if phases is None:
            phases = adversarial_phases(
                model,
                training.reduction,
                classify=classify,
                moment_matching_epochs=training.moment_matching_epochs,
                losses=training.losses,
            )
        trainer = Trainer(model, phases, data, training, torch_device)
        watched = Training(type(model).__name__, trainer)
        failure = call("on_train_begin", callbacks, watched)
        try:
            with interrupts(("SIGINT",)) as interrupted:
                while trainer.epoch < training.epochs and not (interrupted.is_set or watched.stopped or failure):
                    losses = trainer.run_epoch(lambda: interrupted.is_set)
                    if losses is not None:
                        watched.metrics = losses
                        failure = call("on_epoch_end", callbacks, watched)
                        history.append(watched.metrics)
            if interrupted.is_set and trainer.epoch < training.epochs:
                warnings.warn(
                    f"interrupted in epoch {trainer.epoch + 1} of {training.epochs}, after {trainer.step} steps; the model keeps "
                    "what was learnt",
                    stacklevel=3,
                )
            if trainer.trained is not model:
                model.load_state_dict(trainer.trained.state_dict())
            failure = failure or call("on_train_end", callbacks, watched)
        finally:
            model.eval()
    if failure is not None:
        kept = f"the model keeps what was learnt in {trainer.epoch} epochs"
        raise CallbackError(f"{failure}; {kept}") from failure.__cause__
    return history


def _try(model: AdversarialAutoencoder, inputs: int, device: torch.device) -> None:
    """Check that the model encodes rows of so many values, decodes to as many, and has one logit for each code."""
    model.eval()
    rows, labels = (
        torch.zeros(2, inputs, device=device, dtype=torch.float32),
        torch.zeros(2, dtype=torch.int64, device=device),
    )
    noise = Noise(0, device=device)
    given: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    where = f"rows have {inputs} values each; the model expects others"
    try:
        with torch.no_grad(), seeded(0, device):
            codes = model.encode(rows, noise)
            where = "the modules of the model do not fit together"
            given["the decoder"] = (model.decode(codes, labels), (2, inputs))
            for name, code in codes.items():
                latent = model.latent(name)
                if latent.discriminator is not None:
                    given[f"the discriminator of {name}"] = (latent.discriminate(code, labels, noise), (2,))
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{where} ({reason})") from error
    for module, (found, expected) in given.items():
        if tuple(found.shape) != expected:
            raise InputError(f"{module} returns shape {tuple(found.shape)} for two rows; expected {expected}")


def _classes(model: AdversarialAutoencoder) -> int | None:
    """Count the classes that a model distinguishes; None if it uses no labels."""
    counts = [model.decoder_classes, model.latent("label").prior.dim if model.classifies else None]
    counts += [model.latent(name).prior.num_labels for name in model.latents if model.latent(name).label_informed]
    return min((count for count in counts if count is not None), default=None)
