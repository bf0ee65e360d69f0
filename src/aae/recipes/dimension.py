"""``model.style.dim = "auto"``, ``latent_dim="auto"`` of `aae.AAE`: a number of dimensions that fits the training rows."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from aae.anomaly_score import compared_rows
from aae.data import Dataset
from aae.recipes.build_data import make_scaling
from aae.recipes.schema import Recipe

ROWS, EXPLAINED = 2000, 0.9  # rows that are looked at, and share of their variance that is held


def chosen_rows(n: int, columns: int) -> Tensor:
    """Choose which of `n` rows the number of dimensions is found from: spread evenly, all of them where they are few."""
    return torch.linspace(0, n - 1, min(ROWS, compared_rows(n, columns))).round().long()


def principal_dimension(rows: Tensor, explained: float = EXPLAINED) -> int:
    """Compute how many principal components hold a fraction of the variance of rows (n, columns); 1 or more."""
    shares = torch.linalg.svdvals(rows.double() - rows.double().mean(0)).square()
    if not float(shares.sum()):
        return 1
    held = (shares.cumsum(0) / shares.sum()) < explained * (1 - math.ulp(1.0))
    return min(int(held.sum()) + 1, len(shares))


def with_dimension(recipe: Recipe, dataset: Dataset) -> Recipe:
    """Copy a recipe with the number of dimensions of its style in place of "auto", found from the training rows of its data.

    It is that of the prior where this prescribes one; otherwise as many as principal components hold nine tenths of the variance
    of the scaled rows, without covariates.
    """
    style = recipe.model.style
    if style is None or style.dim != "auto":
        return recipe
    dim = style.prior.fixed_dim
    if dim is None:
        rows, table = dataset.train.rows, dataset.table
        scaling = make_scaling(recipe.data, recipe.model, rows, table)
        some = chosen_rows(len(rows), int(np.prod(rows.shape[1:]))).numpy()
        scaled = scaling(torch.from_numpy(np.array(rows[some])))
        outer = 0 if table is None else table.outer.width
        dim = principal_dimension(scaled[:, : scaled.shape[1] - outer])
    return with_dim(recipe, dim)


def with_dim(recipe: Recipe, dim: int) -> Recipe:
    """Copy a recipe with a number of dimensions of its style."""
    assert recipe.model.style is not None
    style = recipe.model.style.model_copy(update={"dim": dim})
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"style": style})})
