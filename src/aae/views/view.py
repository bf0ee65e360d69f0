"""A trained autoencoder and the rows that it is looked at with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aae.errors import InputError
from aae.model import AdversarialAutoencoder
from aae.networks import Scaling


@dataclass(frozen=True)
class View:
    """A trained autoencoder and the rows, held out or new, that plots and explorers show.

    Attributes
    ----------
    title : str
        What was trained on what.
    model : AdversarialAutoencoder
        In evaluation mode.
    scaling : Scaling
        From stored rows to network rows.
    rows : array, (n, *shape)
        As stored.
    points : array, (n, dim)
        Where each row lies: its style code, or y W_C + z (section 7).
    labels : int array, (n,), or None
        True labels, -1 where there is none.
    class_names : tuple of str
        Names of the labels.
    predicted : int array, (n,), or None
        The most likely category of q(y|x).
    category_names : tuple of str
        Names of the categories of q(y|x): classes, or clusters.
    clusters : bool
        Whether the categories were found without labels.
    prior : array, (m, dim), or None
        Samples of p(z), where points are style codes.
    heads : array, (k, dim), or None
        Cluster heads (section 7).
    image_shape : tuple of int
        (height, width) or (height, width, 3); empty where rows are no images.
    image_range : tuple of float
        The stored values that are black and white.
    columns : tuple of str
        Names of the columns of a table.
    ids : array, (n,), or None
        What identifies the rows.
    """

    title: str
    model: AdversarialAutoencoder
    scaling: Scaling
    rows: NDArray[Any]
    points: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    predicted: NDArray[np.int64] | None = None
    category_names: tuple[str, ...] = ()
    clusters: bool = False
    prior: NDArray[np.float32] | None = None
    heads: NDArray[np.float32] | None = None
    image_shape: tuple[int, ...] = ()
    image_range: tuple[float, float] = (0.0, 1.0)
    columns: tuple[str, ...] = ()
    ids: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.image_shape and (
            len(self.image_shape) not in (2, 3)
            or self.image_shape[2:] not in ((), (3,))
            or np.prod(self.image_shape) != np.prod(self.rows.shape[1:])
        ):
            raise InputError(
                f"image_shape is {self.image_shape}; expected (height, width) or (height, width, 3) with "
                f"{int(np.prod(self.rows.shape[1:]))} values"
            )

    def take(self, which: NDArray[np.int64]) -> View:
        """Return the view with some of its rows."""
        some = {
            name: None if (values := getattr(self, name)) is None else values[which]
            for name in ("rows", "points", "labels", "predicted", "ids")
        }
        return replace(self, **some)

    def images(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn stored rows (n, ...) into images (n, *image_shape) with values in [0, 1]."""
        if not self.image_shape:
            raise InputError("the rows are no images; expected image_shape=(height, width)")
        low, high = self.image_range
        values = np.asarray(rows, np.float32).reshape(-1, *self.image_shape)
        return np.clip((values - low) / ((high - low) or 1), 0, 1)

    @property
    def labelled(self) -> bool:
        """Whether some row has a label."""
        return self.labels is not None and bool((self.labels >= 0).any())
