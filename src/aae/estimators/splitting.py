"""Rows that are held out, and searches over parameters where most rows have no label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae.errors import InputError
from aae.estimators.use import Labels
from aae.noise import Noise
from aae.training.trainer import ORDER

Places = NDArray[np.int64]


def hold_out(order: Places, labels: Labels | None, fraction: float, seed: int) -> tuple[Places, Places]:
    """Divide rows into those to train on and those to measure on.

    Parameters
    ----------
    order : array of int, (n,)
        The rows.
    labels : array of int, optional
        Class of every row; the fraction is then that of the labelled rows of each class, and unlabelled rows are trained on.
    fraction : float
        How many are held out, in (0, 1).
    seed : int
        Decides which.

    Raises
    ------
    InputError
        If that leaves too few of either.
    """
    shuffled = order[Noise(seed, ORDER, 0, 3).permutation(len(order)).numpy()]
    held = []
    classes = [0] if labels is None else np.unique(labels[labels >= 0]).tolist()
    for number in classes:
        own = shuffled if labels is None else shuffled[labels[shuffled] == number]
        count = max(1, round(fraction * len(own)))
        if count < len(own):  # the only row of a class is needed
            held.append(own[:count])
    found = np.concatenate(held) if held else np.empty(0, np.int64)
    rest = order[~np.isin(order, found)]
    if not len(found) or len(rest) < 2:
        of = f"{len(order)} rows" if labels is None else f"{int((labels >= 0).sum())} labelled rows"
        raise InputError(
            f"validation_fraction is {fraction:g} of {of}; expected at least one to measure on and two to train on"
        )
    return rest, found
