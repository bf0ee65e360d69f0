"""Which metrics of the validation rows a recipe has, and by which of them settings are compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from aae.data import Dataset
from aae.device import usual_state
from aae.errors import InputError, unknown
from aae.evaluation.metrics import describe
from aae.recipes import Recipe
from aae.recipes.build_data import labelled_rows, load_data, untrained_model
from aae.runs.evaluate import validate

DEFAULTS = ("validation_error_percent", "validation_reconstruction")


def choose_metric(recipes: Sequence[Recipe], wanted: str | None, known: Sequence[set[str]] | None = None) -> str:
    """Return the metric by which settings are compared: the error of labels, without labels the reconstruction of rows.

    Parameters
    ----------
    recipes : sequence of Recipe
        Whose settings are compared; they are not trained for this.
    wanted : str, optional
        The one to check, in place of the default.
    known : sequence of set of str, optional
        What `metrics_of` found of each recipe.

    Raises
    ------
    InputError
        If a recipe does not have it, it has no better direction, or there is no validation split.
    """
    known = [metrics_of(recipe) for recipe in recipes] if known is None else known
    for recipe, metrics in zip(recipes, known, strict=True):
        if not metrics:
            raise InputError(
                f"recipe {recipe.name}: has no metrics of validation rows; expected data.validation larger than 0, "
                "and a method that encodes or classifies"
            )
    shared = set.intersection(*known)
    if wanted is None:
        wanted = next((name for name in DEFAULTS if name in shared), None)
        if wanted is None:
            raise InputError("the recipes have no metric in common; expected recipes that do")
    for recipe, metrics in zip(recipes, known, strict=True):
        if wanted not in metrics:
            raise unknown(f"metric of {recipe.name}", wanted, [name for name in metrics if _direction(name) != "none"])
    if _direction(wanted) == "none":
        raise InputError(f"metric {wanted}: neither more nor less of it is better; expected one that is")
    return wanted


def _direction(metric: str) -> str:
    return describe(metric).direction


@usual_state()
def metrics_of(recipe: Recipe, dataset: Dataset | None = None) -> set[str]:
    """List what is measured of a recipe on the validation split, by measuring it before any training."""
    dataset = dataset or load_data(recipe)
    labelled_rows(recipe, dataset)
    recipe, model, scaling = untrained_model(recipe, dataset)
    state = torch.get_rng_state()
    try:
        return set(validate(model, scaling, dataset.validation, recipe))
    finally:
        torch.set_rng_state(state)
