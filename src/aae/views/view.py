"""A trained model and the rows that it is looked at with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.data.columns import Columns
from aae.device import usual_state
from aae.errors import InputError
from aae.model import AdversarialAutoencoder, Model
from aae.noise import Noise, seeded
from aae.scaling import Scaling

BATCH = 1000  # rows pushed through the networks at once


@dataclass(frozen=True)
class View:
    """A trained model and the rows, held out or new, that plots and explorers show.

    Attributes
    ----------
    title : str
        What was trained on what.
    model : Model
        In evaluation mode. Most of what is shown needs codes, and so an autoencoder.
    scaling : Scaling
        From stored rows to network rows.
    rows : array, (n, *shape)
        As stored.
    points : array, (n, dim)
        Where each row lies: its style code, or y W_C + z (section 7). Without a style there are no dimensions.
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
        Names of the columns of a table; where its columns have kinds, those of `table`.
    table : Columns or None
        What the columns are, where they have kinds: rows hold the numbers of their categories.
    ids : array, (n,), or None
        What identifies the rows.
    lacks_covariates : bool
        Whether the rows came without the covariates that the decoder sees.
    observed : bool array, (n, columns), or None
        Which values of the rows are known, where what is missing was filled.
    """

    title: str
    model: Model
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
    table: Columns | None = None
    ids: NDArray[Any] | None = None
    lacks_covariates: bool = False
    observed: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.table is not None:
            object.__setattr__(self, "columns", self.table.names)
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
        some: dict[str, Any] = {
            name: None if (values := getattr(self, name)) is None else values[which]
            for name in ("rows", "points", "labels", "predicted", "ids", "observed")
        }
        return replace(self, **some)

    @property
    def known_rows(self) -> NDArray[Any]:
        """The rows, NaN where a value was missing."""
        if self.observed is None:
            return self.rows
        known = np.array(self.rows)
        known[:, : self.observed.shape[1]][~self.observed] = np.nan
        return known

    def images(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn stored rows (n, ...) into images (n, *image_shape) with values in [0, 1]; InputError where rows are none."""
        if not self.image_shape:
            raise InputError("the rows are no images; expected image_shape=(height, width)")
        low, high = self.image_range
        values = np.asarray(rows, np.float32).reshape(-1, *self.image_shape)
        images: NDArray[np.float32] = np.clip((values - low) / ((high - low) or 1), 0, 1)
        return images

    @property
    def categories(self) -> tuple[tuple[str, ...], ...]:
        """Names of the categories of each column, none of one of numbers; empty where all are plain numbers."""
        if self.table is None:
            return ()
        two = (False, True)
        known = [one.categories or (two if one.kind == "boolean" else ()) for one in self.table.columns]
        return tuple(tuple(map(str, names)) for names in known)

    @property
    def autoencoder(self) -> AdversarialAutoencoder:
        """The model, if it has codes.

        Raises
        ------
        InputError
            If it has none.
        """
        if not self.model.encodes:
            raise InputError(f"{self.title}: a {self.model.description} has no codes; expected an autoencoder")
        return cast(AdversarialAutoencoder, self.model)

    @property
    def has_style(self) -> bool:
        """Whether a part of the code is continuous."""
        return self.model.encodes and "style" in self.autoencoder.latents

    def require_style(self) -> AdversarialAutoencoder:
        """Return the model, if a part of its code is continuous.

        Raises
        ------
        InputError
            If it has no codes, or a label alone.
        """
        model = self.autoencoder
        if "style" not in model.latents:
            raise InputError(f"{self.title}: the code is a label alone; expected a style to look at")
        return model

    @property
    def labelled(self) -> bool:
        """Whether some row has a label."""
        return self.labels is not None and bool((self.labels >= 0).any())

    @usual_state()
    @torch.no_grad()
    def codes(self) -> dict[str, Tensor]:
        """Infer the codes of the rows by latent; that of the label is q(y|x)."""
        parts = [self.autoencoder.encode(self._scaled(some)) for some in self._parts(len(self.rows))]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @usual_state()
    @torch.no_grad()
    def probabilities(self) -> NDArray[np.float32]:
        """Compute q(y|x), (n, categories), of a model that classifies."""
        logits = [self.model.label_logits(self._scaled(some)) for some in self._parts(len(self.rows))]
        found: NDArray[np.float32] = torch.softmax(torch.cat(logits), dim=1).cpu().numpy()
        return found

    @usual_state()
    @torch.no_grad()
    def decode(
        self, codes: dict[str, Tensor], labels: NDArray[np.int64] | None = None, covariates: Tensor | None = None
    ) -> NDArray[Any]:
        """Decode codes by latent to stored rows (n, *shape); `labels` (n,), scaled `covariates` where it sees them."""
        n, made = len(next(iter(codes.values()))), []
        wanted = None if labels is None else torch.from_numpy(labels).to(self._device)
        for some in self._parts(n):
            part = {name: code[some].to(self._device) for name, code in codes.items()}
            beside = (None if one is None else one[some] for one in (wanted, covariates))
            made.append(self.autoencoder.decode(part, *beside))
        return self._stored(torch.cat(made))

    @usual_state()
    @torch.no_grad()
    def reconstruct(self) -> NDArray[Any]:
        """Encode and decode the rows (n, *shape), at their own labels and covariates."""
        self._require_covariates()
        labels = self.decoder_labels()
        wanted = None if labels is None else torch.from_numpy(labels).to(self._device)
        made = [
            self.autoencoder.reconstruct(self._scaled(some), None if wanted is None else wanted[some])
            for some in self._parts(len(self.rows))
        ]
        return self._stored(torch.cat(made))

    @usual_state()
    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> NDArray[Any]:
        """Draw rows (n, *shape) from the model, as they are stored; covariates are those of rows drawn at random.

        Raises
        ------
        InputError
            If `n` is smaller than 1, the model cannot be sampled, or its decoder sees covariates and there are no rows to take
            them from.
        """
        if not self.model.samples:
            raise InputError(f"{self.title}: a {self.model.description} cannot be sampled; expected another model")
        if n < 1:
            raise InputError(f"n is {n}; expected 1 or more rows")
        noise, drawn = Noise(seed, device=self._device), np.random.default_rng(seed)
        with seeded(seed, self._device):
            if self.table is None or not self.table.covariates:
                return self._stored(self.model.sample(n, None, noise))
            if not len(self.rows):
                names = ", ".join(self.table.outer.names)
                raise InputError(f"{self.title}: the decoder sees {names}; expected rows to take it from")
            self._require_covariates()
            outer = self.take(drawn.integers(len(self.rows), size=n)).covariates()
            return self._stored(self.autoencoder.sample(n, None, noise, outer))

    def covariates(self) -> Tensor | None:
        """Return the scaled covariates of the rows, (n, inputs); None where the decoder sees none."""
        if self.table is None or not self.table.covariates:
            return None
        self._require_covariates()
        parts = [self.autoencoder.split(self._scaled(some))[1] for some in self._parts(len(self.rows))]
        return torch.cat([part for part in parts if part is not None])

    def _require_covariates(self) -> None:
        if self.lacks_covariates and self.table is not None:
            names = ", ".join(self.table.outer.names)
            raise InputError(
                f"the decoder sees {names}, and the rows have none; expected rows with covariates among them"
            )

    def decoder_labels(self) -> NDArray[np.int64] | None:
        """Return the labels of the rows where the decoder sees them (section 4), else None.

        Raises
        ------
        InputError
            If a row has none.
        """
        if self.autoencoder.decoder_classes is None:
            return None
        if self.labels is None or (self.labels < 0).any():
            raise InputError("the decoder sees the label (section 4); expected a label for every row")
        return self.labels

    def label_codes(self) -> Tensor | None:
        """Compute what stands for each label, (labels, size); None where the decoder is given no label as a code."""
        if not self.model.classifies:
            return None
        head = self.autoencoder.label_head
        return head.label_codes(torch.arange(head.num_labels, device=self._device))

    def spread(self, count: int) -> NDArray[np.int64]:
        """Choose rows that are spread evenly over the classes, or over what was predicted; always the same ones."""
        groups = self.labels if self.labelled else self.predicted
        order = np.random.default_rng(0).permutation(len(self.rows))
        if groups is None:
            return np.sort(order[:count])
        turn = np.empty(len(order), np.int64)  # the how-many-eth of its group each row is
        for group in np.unique(groups):
            mine = order[groups[order] == group]
            turn[mine] = np.arange(len(mine)) if group >= 0 else len(order)
        chosen = np.lexsort((groups, turn))[:count]
        return chosen[np.argsort(groups[chosen], kind="stable")]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _scaled(self, some: slice) -> Tensor:
        scaled: Tensor = self.scaling(torch.from_numpy(np.array(self.rows[some])).to(self._device))
        return scaled

    def _stored(self, rows: Tensor) -> NDArray[Any]:
        values: NDArray[Any] = self.scaling.inverse(rows).cpu().numpy()
        return values.reshape(len(rows), *self.rows.shape[1:])

    @staticmethod
    def _parts(n: int) -> list[slice]:
        return [slice(start, start + BATCH) for start in range(0, max(1, n), BATCH)]
