"""Which rows: held-out splits and labelled subsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aae.data.dataset import Split
from aae.errors import InputError

SPLIT_SEED = 0  # fixed, so that a split depends on the data alone and never on the seed of a run


def labelled_subset(labels: NDArray[np.integer], count: int, *, num_classes: int, seed: int) -> NDArray[np.int64]:
    """Draw the rows that keep their labels in semi-supervised learning, as many of every class.

    Parameters
    ----------
    labels : integer array, (n,)
        Class numbers 0..num_classes-1, or -1 for rows that have no label and are never drawn.
    count : int
        How many rows, at least `num_classes`. Where it is not a multiple of it, the classes that get one row more are
        drawn too. All labelled rows together are returned as they are, even or not.
    num_classes : int
        How many classes there are.
    seed : int
        Decides which rows are drawn.

    Returns
    -------
    int64 array, (count,)
        Indices into `labels`, ascending.

    Raises
    ------
    InputError
        `count` below the number of classes or above the number of labelled rows, a class with too few rows, or a label
        out of range.
    """
    outside = (labels < -1) | (labels >= num_classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise InputError(f"labels: found {labels[row]} in row {row}, expected -1 to {num_classes - 1}")
    labelled = np.flatnonzero(labels >= 0)
    if count < num_classes:
        raise InputError(
            f"labelled rows: found {count}, fewer labelled rows than classes; expected at least {num_classes}"
        )
    if count > len(labelled):
        raise InputError(f"labelled rows: found {count}, expected at most the {len(labelled)} that have a label")
    if count == len(labelled):
        return labelled
    generator = np.random.default_rng(seed)
    needed = np.full(num_classes, count // num_classes)
    needed[generator.permutation(num_classes)[: count % num_classes]] += 1
    drawn = []
    for label, need in enumerate(needed):
        rows = np.flatnonzero(labels == label)
        if len(rows) < need:
            raise InputError(f"labelled rows: found {len(rows)} of class {label}, expected at least {need}")
        drawn.append(generator.permutation(rows)[:need])
    return np.sort(np.concatenate(drawn))


def hold_out(
    split: Split, amount: int | float, *, option: str, where: str, last: bool = False
) -> tuple[Split, Split | None]:
    """Hold some rows out of a split: a fixed shuffled draw with the classes in proportion, or the last rows.

    Parameters
    ----------
    split : Split
        n rows.
    amount : int or float
        A number of rows, below n, or a fraction of them in [0, 1); 0 holds nothing out.
    option, where : str
        The option `amount` comes from and the data set, for error messages.
    last : bool
        Hold out the last rows. A memory map then stays one.

    Returns
    -------
    kept : Split
        The other rows, in their order.
    held : Split or None
        The held-out rows, in their order, or None.

    Raises
    ------
    InputError
        An amount out of range, or one that leaves no rows.
    """
    total = len(split)
    if amount < 0 or (isinstance(amount, float) and not amount < 1):
        raise InputError(f"{option}: found {amount}, expected a number of rows or a fraction from 0 to below 1")
    if amount == 0:
        return split, None
    count = max(1, round(amount * total)) if isinstance(amount, float) else amount
    if count >= total:
        raise InputError(
            f"{option}: found {amount} of {total} rows ({where}), expected to leave at least one to train on"
        )
    if last:
        return split.take(slice(0, total - count)), split.take(slice(total - count, total))
    # Every (total / count)-th row of the shuffled rows sorted by class: each class in proportion, to within one row.
    order = np.random.default_rng(SPLIT_SEED).permutation(total)
    if split.labels is not None:
        order = order[np.argsort(split.labels[order], kind="stable")]
    places = (2 * np.arange(count) + 1) * total // (2 * count)
    return split.take(np.sort(np.delete(order, places))), split.take(np.sort(order[places]))
