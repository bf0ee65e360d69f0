"""The losses of the estimators: the paper's alone, or with consistency and information beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from aae.errors import InputError
from aae.training.settings import LossSettings, validation_message

CONSISTENT = LossSettings.model_validate(
    {
        "joint": True,
        "reconstruction": 0.2,
        "generator": {"label": 0.1, "style": 0.1},
        "consistency": {
            "radius": 0.4,
            "neighbours": 10,
            "equal_rows": "later",
            "xi": "radius",
            "covariance": 0.5,
        },
        "information": {"weight": 0.2, "marginal": 1.5},
    }
)
"""Found on validation rows of ten tables; it lost nothing on five others. The covariance was found on twenty."""
NEIGHBOURS = LossSettings.model_validate(
    {
        "joint": True,
        "reconstruction": 0.2,
        "generator": {"label": 0.02, "style": 0.05},
        "neighbour_graph": {"weight": 4.0, "neighbours": 15},
    }
)
"""For maps; found on nine tables."""


def chosen_losses(losses: str | Mapping[str, Any], named: LossSettings) -> LossSettings:
    """Return the losses that an estimator's parameter `losses` stands for.

    Parameters
    ----------
    losses : str or mapping
        ``"paper"``, another name, or what is in the words of a recipe's ``training.losses``.
    named : LossSettings
        What the other name stands for.

    Raises
    ------
    InputError
        If a key or value of a mapping is none.
    """
    if losses == "paper":
        return LossSettings()
    if isinstance(losses, str):
        return named
    given = _with_later_neighbours(losses)
    if isinstance(given.get("clustering"), Mapping):
        given["clustering"] = _with_later_neighbours(given["clustering"])
    try:
        return LossSettings.model_validate(given)
    except ValidationError as error:
        raise InputError(f"losses: {validation_message(error)}") from None


def _with_later_neighbours(losses: Mapping[str, Any]) -> dict[str, Any]:
    """Copy losses so that rows with many equals are no error, unless they say so."""
    own = losses.get("consistency")
    return {**losses, **({"consistency": {"equal_rows": "later", **own}} if isinstance(own, Mapping) else {})}
