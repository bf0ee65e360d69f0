"""What a finished run does with its model: codes, labels, scores and rows out of rows, and samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aae.arrays import ArrayLike, between, finite_rows
from aae.data.columns import CodedRows
from aae.data.frames import known_form, one_row
from aae.data.values import fill_gaps
from aae.device import usual_state
from aae.errors import InputError
from aae.model import AdversarialAutoencoder, Model
from aae.noise import CODES, SAMPLES, Noise, seeded
from aae.runs.rows import BATCH, StoredRows


class TrainedModel(StoredRows):
    """Base of `Run`: what it can do with its model, all of it with rows as they are stored."""

    @property
    def autoencoder(self) -> AdversarialAutoencoder:
        """The model of a run that has codes.

        Raises
        ------
        InputError
            If the model has no codes.
        """
        if not self.model.encodes:
            raise InputError(
                f"{self.folder.path}: a {self.model.description} has no codes; expected an autoencoder run"
            )
        return cast(AdversarialAutoencoder, self.model)

    @property
    def generative(self) -> Model:
        """The model of a run that can be sampled.

        Raises
        ------
        InputError
            If it cannot.
        """
        if not self.model.samples:
            raise InputError(f"{self.folder.path}: a {self.model.description} cannot be sampled; expected another run")
        return self.model

    @usual_state()
    @torch.no_grad()
    def encode(self, rows: ArrayLike, seed: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Infer codes.

        Parameters
        ----------
        rows : array, (n, *shape)
            Rows as stored.
        seed : int, optional
            With it a code is drawn from q(z|x); without it the code that stands for each row is given.

        Returns
        -------
        dict of str to array
            Codes (n, dim) by latent; the code of ``label`` is q(y|x).
        """
        model = self.autoencoder
        noise = None if seed is None else Noise(_checked_seed(seed, "seed"), CODES, device=self.device)
        parts = [model.encode(batch, noise) for batch in self._batches(rows)]
        codes = {name: np.concatenate([part[name].cpu().numpy() for part in parts]) for name in model.latents}
        return {name: finite_rows(code, "the code") for name, code in codes.items()}

    def transform(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Map rows (n, *shape) to points (n, dim): y W_C + z (section 7), or else the style code. The same as `embed`."""
        return self.embed(rows)

    @usual_state()
    @torch.no_grad()
    def embed(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute the point (n, dim) that stands for each row (n, *shape): y W_C + z (section 7), or else the style code."""
        codes, model = self.encode(rows), self.autoencoder
        if model.cluster_heads is None:
            return codes["style"]
        tensors = {name: torch.from_numpy(code).to(self.device) for name, code in codes.items()}
        embedded: NDArray[np.float32] = model.representation(tensors).cpu().numpy()
        return embedded

    def predict(self, rows: ArrayLike) -> NDArray[Any]:
        """Name the class, or number the cluster, of each row: (n, *shape) to (n,), whole numbers where names are some."""
        names = np.array(self.label_names)
        if all(name.isdecimal() and str(int(name)) == name for name in self.label_names):
            names = names.astype(np.int64)
        named: NDArray[Any] = names[self.predict_proba(rows).argmax(axis=1)]
        return named

    def predict_proba(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute q(y|x) (n, classes) for rows (n, *shape) as stored."""
        probabilities: NDArray[np.float32] = torch.softmax(torch.from_numpy(self.label_logits(rows)), 1).numpy()
        return probabilities

    @usual_state()
    @torch.no_grad()
    def label_logits(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Compute the logits (n, classes) of q(y|x) for rows (n, *shape) as stored."""
        model = self.model
        if not model.classifies:
            raise self.without_labels()
        logits = np.concatenate([model.label_logits(batch).cpu().numpy() for batch in self._batches(rows)])
        return finite_rows(logits, "q(y|x)")

    def reconstruct(self, rows: ArrayLike, labels: Any = None, *, covariates: Any = None) -> Any:
        """Encode and decode rows (n, *shape); `labels` (n,), as for `decode`, where it sees them. Same type and shape as stored.

        Rows of a table by kind become a data frame with its values. They are decoded at their own covariates, or at `covariates`
        (as for `decode`).
        """
        return self._returned(self._reconstructed(self._rows(rows), labels, covariates), rows)

    def impute(self, rows: ArrayLike, labels: Any = None, *, rounds: int = 5, covariates: Any = None) -> Any:
        """Put the decoder's values in the place of missing ones.

        Rows are reconstructed with medians in the gaps, then again with what came out of that, and so on (Rezende et al. 2014).

        Parameters
        ----------
        rows : array-like or data frame, (n, columns)
            Rows of a run that was trained with ``data.missing=mask``.
        labels, covariates
            As for `reconstruct`.
        rounds : int, default=5
            Reconstructions, 1 or larger.

        Returns
        -------
        array or data frame, (n, columns)
            Rows without gaps; known values are as they were.

        Raises
        ------
        InputError
            If the run takes no missing values, `rounds` is less than 1, or labels that its decoder sees are missing.
        """
        if self.recipe.data.missing != "mask":
            raise InputError(
                f"{self.folder.path}: was trained with data.missing=error; expected data.missing=mask to impute"
            )
        if rounds < 1:
            raise InputError(f"rounds is {rounds}; expected 1 or more")
        like, known = rows, self._rows(rows)
        gaps, filled = np.isnan(known), known
        for _ in range(rounds):
            filled = np.where(gaps, self._reconstructed(filled, labels, covariates), known).view(CodedRows)
        return fill_gaps(known_form(like), self._returned(np.asarray(filled), like))

    @usual_state()
    @torch.no_grad()
    def _reconstructed(self, rows: NDArray[Any], labels: Any, covariates: Any) -> NDArray[Any]:
        """Encode and decode checked rows, as numbers."""
        model, wanted = self.autoencoder, self._labels(labels, len(rows))
        outer = None if covariates is None else self._covariates(covariates, len(rows))
        parts = []
        for i, batch in enumerate(self._batches(rows)):
            some = slice(i * BATCH, (i + 1) * BATCH)
            if outer is not None:
                batch = torch.cat([model.split(batch)[0], outer[some]], dim=1)
            parts.append(model.reconstruct(batch, None if wanted is None else wanted[some]))
        return self._stored(torch.cat(parts))

    def decode(
        self,
        codes: Mapping[str, ArrayLike] | ArrayLike,
        labels: Any = None,
        *,
        covariates: Any = None,
    ) -> Any:
        """Decode codes (n, dim) by latent to rows (n, *shape); `labels` (n,) where the decoder sees them.

        Parameters
        ----------
        codes : dict of str to array, (n, dim), or array
            As `encode` returns them; or those of `transform` (n, dim): places on a map, or style codes, with labels beside them
            where the model infers these.
        labels : label or array-like of them, (n,), optional
            Names of classes, or where these are no whole numbers, numbers of classes from 0; where the decoder sees them, or
            beside style codes.
        covariates : mapping, data frame or array-like, optional
            Where the decoder sees some: those of each row, or one of each for all rows, such as ``{"batch": "a"}``.

        Returns
        -------
        array, (n, *shape), or data frame
            Rows, of the stored type; of a table by kind its values.

        Raises
        ------
        InputError
            If a latent is missing, codes have another shape, or labels or covariates are missing or out of range.
        """
        return self._returned(self.decode_numbers(codes, labels, covariates), codes)

    @usual_state()
    @torch.no_grad()
    def decode_numbers(
        self,
        codes: Mapping[str, ArrayLike] | ArrayLike,
        labels: Any = None,
        covariates: Any = None,
    ) -> NDArray[Any]:
        """Decode as `decode`, but to numbers (n, *shape) as they are stored: categories by their places. Raises as `decode`."""
        model = self.autoencoder
        given, labels = (codes, labels) if isinstance(codes, Mapping) else self._by_latent(codes, labels)
        if given.keys() != set(model.latents):
            found = ", ".join(map(str, given)) or "nothing"
            raise InputError(f"codes are of {found}; the run expects {', '.join(model.latents)}")
        tensors = {name: torch.from_numpy(np.array(code, np.float32)).to(self.device) for name, code in given.items()}
        n = next((len(tensor) for tensor in tensors.values() if tensor.ndim), 0)
        for name, tensor in tensors.items():
            expected = (n, model.latent(name).prior.dim)
            if tuple(tensor.shape) != expected:
                raise InputError(f"codes of {name} have shape {tuple(tensor.shape)}; expected {expected}")
        wanted, outer = self._labels(labels, n), self._covariates(covariates, n)
        parts = []
        for start in range(0, max(1, n), BATCH):
            some = slice(start, start + BATCH)
            part = {name: tensor[some] for name, tensor in tensors.items()}
            beside = (None if one is None else one[some] for one in (wanted, outer))
            parts.append(model.decode(part, *beside))
        return self._stored(torch.cat(parts))

    def _by_latent(self, codes: ArrayLike, labels: Any) -> tuple[dict[str, Any], Any]:
        """Return codes (n, dim) by latent, and the labels that the decoder sees beside them."""
        model = self.autoencoder
        n = len(np.atleast_1d(np.asarray(codes)))
        if model.classifies and (labels is not None or model.cluster_heads is not None):
            one_hot = np.zeros((n, model.latent("label").prior.dim), np.float32)
            if labels is not None:
                one_hot[np.arange(n), self._wanted(labels, n)] = 1
            return {"label": one_hot, "style": codes}, None  # without a label a place is its own head
        return {"style": codes}, labels

    def interpolate(
        self, first: ArrayLike, last: ArrayLike, steps: int = 8, label: Any = None, *, covariates: Any = None
    ) -> Any:
        """Decode codes on the straight line between the codes of two rows.

        Parameters
        ----------
        first, last : array, (*shape) or (n, *shape)
            A row each, or as many each.
        steps : int
            Number of rows from the first to the last, both reconstructed; 2 or larger.
        label : class, optional
            Where the decoder sees the label (section 4): that of all rows, as for `sample`.
        covariates : optional
            As for `decode`, one of each for all rows; by default those of the first rows all the way.

        Returns
        -------
        array, (steps, *shape) or (n, steps, *shape)
            Rows, of the stored type.

        Raises
        ------
        InputError
            If the rows are not of this run's shape or not as many, `steps` is too small, or the label is missing or unknown.
        """
        given = [one_row(rows) for rows in (first, last)]
        if self.table is not None:
            ends = [self._rows(rows) for rows in given]
        else:
            ends = [np.asarray(self._as_stored(rows)) for rows in given]
        alone = [end.shape == self.shape for end in ends]
        # A row of a data frame is one too.
        single = all(one or row is not rows for one, row, rows in zip(alone, given, (first, last), strict=True))
        ends = [end[None] if one else end for end, one in zip(ends, alone, strict=True)]
        codes = [self.encode(end) for end in ends]
        n, m = (len(next(iter(one.values()))) for one in codes)
        if n != m:
            raise InputError(f"found {n} first and {m} last rows; expected as many of both")
        path = {name: between(codes[0][name], codes[1][name], steps) for name in codes[0]}
        flat = {name: points.reshape(n * steps, -1) for name, points in path.items()}
        labels = None if label is None else self._wanted(label, n * steps)
        if covariates is None and self.table is not None and self.table.covariates:
            names, stored = self.table.outer.names, self.table.decode(ends[0])[-self.table.covariates :]
            covariates = {name: values.repeat(steps) for name, values in zip(names, stored, strict=True)}
        made = self.decode(flat, None if labels is None else self.named(labels), covariates=covariates)
        if self.table is not None:
            return made
        rows = made.reshape(n, steps, *self.shape)
        return rows[0] if single else rows

    @usual_state()
    @torch.no_grad()
    def sample(
        self,
        n: int = 1,
        label: Any = None,
        *,
        random_state: int | np.random.RandomState | None = None,
        covariates: Any = None,
    ) -> Any:
        r"""Draw rows from the model.

        Parameters
        ----------
        n : int, default=1
            Number of rows.
        label : str, int or array-like of them, (n,), optional
            Class of all rows, or of each, with random style: its name; or its number, where no class is called so.
        random_state : int, RandomState or None
            Decides the draw; an int is the ``--seed`` of ``aae sample``.
        covariates
            As for `decode`.

        Returns
        -------
        array, (n, *shape), or data frame
            Rows, of the stored type; those of a table by kind are drawn from p(x\|z).

        Raises
        ------
        InputError
            If the model knows no labels, `label` is out of range, `n` smaller than 1, or `random_state` no such thing.
        """
        model = self.generative
        n, seed = _count(n), _seed(random_state)
        noise = Noise(seed, SAMPLES, device=self.device)
        labels = None if label is None else torch.from_numpy(self._wanted(label, n)).to(self.device)
        outer = self._covariates(covariates, n)
        with seeded(seed, self.device):
            if self.table is None:
                return self._stored(model.sample(n, labels, noise))
            return self._returned(self._stored(self.autoencoder.sample(n, labels, noise, outer)), drawn=True)

    @usual_state()
    @torch.no_grad()
    def sample_prior(self, n: int, seed: int = 0, latent: str = "style") -> NDArray[np.float32]:
        """Draw codes (n, dim) from the prior of one latent."""
        n, seed = _count(n), _checked_seed(seed, "seed")
        noise = Noise(seed, SAMPLES, device=self.device)
        with seeded(seed, self.device):
            codes: NDArray[np.float32] = self.autoencoder.latent(latent).prior.sample(n, None, noise).cpu().numpy()
        return codes

    def _labels(self, labels: Any, n: int) -> Tensor | None:
        """Check the labels (n,) of rows to decode; None where the decoder sees none."""
        classes = self.autoencoder.decoder_classes
        if classes is None:
            if labels is not None:
                raise InputError("labels: found some; the decoder of this run sees codes alone, expected none")
            return None
        given = np.full(n, -1) if labels is None else self._label_numbers(labels, n)
        if (given < 0).any():
            raise InputError(
                f"{int((given < 0).sum())} of {n} rows have no label; the decoder of this run sees the label (section 4), "
                "expected one for every row"
            )
        return torch.from_numpy(given).to(self.device)


def _count(n: Any) -> int:
    """Check how many rows are wanted."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"n is {n!r}; expected 1 or more rows")
    return int(n)


def _checked_seed(seed: Any, name: str) -> int:
    """Check a seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"{name} is {seed!r}; expected a whole number from 0")
    return int(seed)


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed, or draw one from what scikit-learn takes as a random state."""
    if random_state is None or isinstance(random_state, np.random.RandomState):
        from sklearn.utils import check_random_state  # slow to import, needed only here

        return int(check_random_state(random_state).randint(2**31 - 1))
    return _checked_seed(random_state, "random_state")
