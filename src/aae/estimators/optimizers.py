"""Which optimizer lowers the losses of which phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from aae.errors import InputError, unknown
from aae.training.phases import Phase
from aae.training.settings import OptimizerSettings, TrainingSettings, validation_message


def usual_optimizers(
    learning_rate: float, decay: Literal["auto", "none", "linear", "cosine"], settings: TrainingSettings
) -> dict[str, OptimizerSettings]:
    """Choose the optimizers that estimators use: that of ``"discriminator"`` and ``"generator"``, and of all ``"others"``."""
    joint = settings.losses.joint
    adam = OptimizerSettings(optimizer="adam", learning_rate=learning_rate)
    adversarial = adam.model_copy(update={"betas": (0.5, 0.999)})
    if joint:
        adversarial = adversarial.model_copy(update={"learning_rate": learning_rate / 2})
    start: float = 0
    if decay == "auto":
        decay, start = ("linear", 0.5) if joint else ("none", 0)
    adam, adversarial = (one.model_copy(update={"decay": decay, "decay_from": start}) for one in (adam, adversarial))
    return {"discriminator": adversarial, "generator": adversarial, "others": adam}


def with_optimizers(
    phases: Sequence[Phase], usual: Mapping[str, OptimizerSettings], changes: Any, names: Sequence[str]
) -> list[Phase]:
    """Give phases their usual optimizers, with the changes for some of them.

    Parameters
    ----------
    phases : sequence of Phase
        The phases.
    usual : mapping of str to OptimizerSettings
        As `usual_optimizers` returns them.
    changes : mapping of str to mapping, or None
        Settings that differ, by phase, in the words of a recipe.
    names : sequence of str
        The phases that may be named.

    Raises
    ------
    InputError
        If a phase or a setting is unknown.
    """
    given = {}
    for name, change in dict(changes or {}).items():
        if name not in names:
            raise unknown("phase in optimizers", name, names)
        if not isinstance(change, Mapping):
            raise InputError(f"optimizers[{name!r}] is {change!r}; expected a dictionary")
        try:
            given[name] = OptimizerSettings.model_validate(change)
        except ValidationError as error:
            raise InputError(f"optimizers: {name}.{validation_message(error)}") from None
    own = [
        phase if phase.name == "repulsion" else phase.with_optimizer(usual.get(phase.name, usual["others"]))
        for phase in phases
    ]
    return [phase.with_optimizer(given[phase.name]) if phase.name in given else phase for phase in own]
