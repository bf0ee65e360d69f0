"""What all estimators do with a trained model: checked rows in, codes, labels and rows out."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from aae.arrays import between, finite_rows
from aae.data.anndata import is_anndata, labels_of, matrix
from aae.data.frames import known_form, one_row
from aae.data.values import fill_gaps
from aae.device import usual_state
from aae.errors import InputError
from aae.estimators.labels import wanted_labels
from aae.estimators.rows import BATCH, Rows, batches, draw_seed, scaled
from aae.estimators.tables import TableRows
from aae.model import AdversarialAutoencoder
from aae.noise import SAMPLES, Noise, seeded


class FittedModel(TableRows):
    """Base of the estimators: what they can do once they are fitted."""

    model_: AdversarialAutoencoder
    history_: list[dict[str, float]]
    _decodes_to: type[np.floating[Any]]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = getattr(self, "missing", "error") == "mask"
        return tags

    @property
    def _device(self) -> torch.device:
        """Where the fitted model is."""
        return next(self.model_.parameters()).device

    def _rows(self, X: Any, covariates: Any = None) -> Tensor:
        """Check and scale rows (n, n_features_in_) for the fitted model; on the CPU."""
        check_is_fitted(self)
        return scaled(self.scaler_, self._filled(X, covariates)[0])

    def _filled(self, X: Any, covariates: Any = None) -> tuple[Any, NDArray[np.bool_] | None]:
        """Check rows for the fitted model, missing values filled where it takes such; tell which are known."""
        return self._fill_in(self._check_rows(X, "no_validation", covariates, reset=False), reset=False)

    def impute(self, X: Any, y: Any = None, *, rounds: int = 5, covariates: Any = None) -> Any:
        """Put the decoder's values in the place of missing ones.

        Rows are reconstructed with medians in the gaps, then again with what came out of that, and so on (Rezende et al. 2014).

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows, NaN where something is missing; the estimator was made with ``missing="mask"``.
        y : array-like, (n_samples,), optional
            Labels, where the decoder sees them (section 4).
        rounds : int, default=5
            Reconstructions, 1 or larger.
        covariates
            As for `reconstruct`.

        Returns
        -------
        array or data frame, (n_samples, n_features)
            Rows without gaps; known values are as they were, and columns keep their type where it can hold what was missing.

        Raises
        ------
        InputError
            If the estimator takes no missing values, or labels or covariates that its decoder sees are missing.
        """
        check_is_fitted(self)
        check_scalar(rounds, "rounds", Integral, min_val=1)
        if not hasattr(self, "missing_fill_"):
            raise InputError(
                f"{type(self).__name__} was fitted with missing='error'; expected missing='mask' to impute"
            )
        rows, observed = self._filled(X, self._decoder_covariates(X, covariates))
        assert observed is not None
        labels = self._decoder_labels(labels_of(X, y), len(rows))
        for _ in range(rounds):
            rows = np.where(observed, rows, self._reconstructed(scaled(self.scaler_, rows), labels))
        given = known_form(X, "X")
        if is_anndata(given):
            given = matrix(given, getattr(self, "layer", None))
            given = given.toarray() if hasattr(given, "toarray") else given
        return fill_gaps(given, self._returned(rows, X))

    @usual_state()
    @torch.no_grad()
    def _codes(self, rows: Tensor) -> dict[str, Tensor]:
        """Infer the codes of scaled rows."""
        parts = [self.model_.encode(batch.to(self._device)) for batch in batches(rows)]
        codes = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        for code in codes.values():
            finite_rows(code.cpu().numpy(), "the code")
        return codes

    @usual_state()
    @torch.no_grad()
    def _probabilities(self, rows: Tensor) -> Rows:
        """Compute q(y|x) (n, categories) of scaled rows; a model without a label has one category."""
        if not self.model_.classifies:
            return np.ones((len(rows), 1), np.float32)
        logits = torch.cat([self.model_.label_logits(batch.to(self._device)) for batch in batches(rows)])
        return finite_rows(torch.softmax(logits, dim=1).cpu().numpy(), "q(y|x)")

    @usual_state()
    @torch.no_grad()
    def _decoded(
        self,
        codes: dict[str, Tensor],
        labels: Tensor | None = None,
        covariates: Any = None,
        seed: int | None = None,
        *,
        like: Any = None,
    ) -> Any:
        """Decode codes to rows as they were given, part by part; with a seed columns by kind are drawn from p(x|z).

        Covariates are values, or a tensor of what the decoder sees. Rows have the index of `like`, where that has one.
        """
        n, parts = len(next(iter(codes.values()))), []
        outer = covariates if isinstance(covariates, Tensor) else self._covariate_inputs(covariates, n)
        noise = None if seed is None else Noise(seed, SAMPLES, 0, 1, device=self._device)
        for start in range(0, n, BATCH):
            some = slice(start, start + BATCH)
            part = {name: code[some].to(self._device) for name, code in codes.items()}
            wanted, beside = (None if one is None else one[some].to(self._device) for one in (labels, outer))
            made = (
                self.model_.decode(part, wanted, beside)
                if noise is None
                else self.model_.draw(part, wanted, noise, beside)
            )
            parts.append(self.scaler_.inverse(made.cpu()).numpy().astype(self._decodes_to))
        rows = np.concatenate(parts) if parts else np.empty((0, self._stored_columns), self._decodes_to)
        return self._returned(finite_rows(rows, "what the decoder makes"), like, drawn=seed is not None)

    @usual_state()
    @torch.no_grad()
    def _reconstructed(self, rows: Tensor, labels: Tensor | None) -> Rows:
        """Encode and decode scaled rows to numbers in the units of the training rows."""
        made = [
            self.model_.reconstruct(
                batch.to(self._device), None if labels is None else labels[k * BATCH : (k + 1) * BATCH].to(self._device)
            )
            for k, batch in enumerate(batches(rows))
        ]
        found = self.scaler_.inverse(torch.cat(made).cpu()).numpy().astype(self._decodes_to)
        return finite_rows(found, "what the decoder makes")

    @property
    def _inputs(self) -> int:
        """How many values of a row the networks see, covariates included."""
        return self.n_features_in_ if self.columns_ is None else self.columns_.width

    @property
    def _stored_columns(self) -> int:
        return self.n_features_in_ if self.columns_ is None else len(self.columns_)

    def _decoder_labels(self, y: Any, n: int) -> Tensor | None:
        """Number the labels of `n` rows, where the decoder sees them."""
        if self.model_.decoder_classes is None:
            if y is not None:
                raise InputError("y: found labels; the decoder of this model sees codes alone, expected none")
            return None
        if y is None:
            raise InputError("y is None; expected labels, which the decoder of this model sees (section 4)")
        return torch.from_numpy(wanted_labels(y, n, np.asarray(getattr(self, "classes_", ()))))

    @property
    def _known_labels(self) -> NDArray[Any]:
        """What labels are called: `classes_`, or where there are none the numbers of the clusters."""
        classes = np.asarray(getattr(self, "classes_", ()))
        categories = self.model_.label_head.num_labels if self.model_.classifies else 1
        return classes if len(classes) else np.arange(categories)

    @property
    def history(self) -> list[dict[str, float]]:
        """Metrics of each epoch: `history_`, by the name that a `Run` has for it."""
        check_is_fitted(self)
        return self.history_

    def encode(self, X: Any) -> dict[str, Rows]:
        """Infer the codes of rows (n_samples, n_features): (n_samples, dim) by latent; that of ``"label"`` is q(y|x)."""
        return {name: code.cpu().numpy() for name, code in self._codes(self._rows(X)).items()}

    def decode(self, codes: Any, y: Any = None, *, covariates: Any = None) -> Any:
        """Map codes to rows.

        Parameters
        ----------
        codes : dict of str to array-like, (n_samples, dim), or array-like
            What `encode` gives; or the style codes (n_samples, dim) of a model that has no others.
        y : label or array-like of them, (n_samples,), optional
            Labels, where the decoder sees them (section 4).
        covariates : mapping, data frame or array-like, (n_samples, covariates), optional
            Covariates, where the model was fitted with some: those of each row, or one of each for all rows, such as
            ``{"batch": "a"}``.

        Returns
        -------
        array or data frame, (n_samples, n_features)
            Rows, in the units of the training rows: a data frame where `fit` was given one, categories by their names, and of
            counts their means.

        Raises
        ------
        InputError
            If a latent is missing, codes are of another shape, or labels or covariates are missing or unknown.
        """
        check_is_fitted(self)
        latents = list(self.model_.latents)
        given = codes if isinstance(codes, Mapping) else {"style": codes}
        if set(given) != set(latents):
            raise InputError(f"codes are of {', '.join(map(str, given)) or 'nothing'}; expected {', '.join(latents)}")
        tensors = {name: self._check_codes(given[name], name) for name in latents}
        n = len(tensors[latents[0]])
        for name, code in tensors.items():
            if len(code) != n:
                raise InputError(f"codes of {name} are {len(code)}; expected {n}, as of {latents[0]}")
        return self._decoded(tensors, self._decoder_labels(y, n), covariates, like=codes)

    def reconstruct(self, X: Any, y: Any = None, *, covariates: Any = None) -> Any:
        """Encode and decode rows.

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows.
        y : label or array-like of them, (n_samples,), optional
            Labels, where the decoder sees them (section 4).
        covariates : optional
            As for `decode`. Where they are columns of `X` they are those of the rows, unless others are given: rows are then as
            they would have been there.

        Returns
        -------
        array or data frame, (n_samples, n_features)
            As for `decode`.
        """
        check_is_fitted(self)
        rows = self._rows(X, self._decoder_covariates(X, covariates))
        labels = y if self.model_.decoder_classes is None else labels_of(X, y)
        return self._returned(self._reconstructed(rows, self._decoder_labels(labels, len(rows))), X)

    def interpolate(self, first: Any, last: Any, steps: int = 8, label: Any = None, *, covariates: Any = None) -> Any:
        """Decode codes on the straight line between the codes of two rows.

        Parameters
        ----------
        first, last : array-like, (n_features,) or (n_samples, n_features)
            A row each, or as many each.
        steps : int, default=8
            Number of rows from the first to the last, both reconstructed; 2 or larger.
        label : label, optional
            That of all rows, where the decoder sees it (section 4).
        covariates : optional
            As for `decode`, one of each for all rows; by default those of the first rows all the way, where these have them.

        Returns
        -------
        array, (steps, n_features) or (n_samples, steps, n_features)
            Rows, in the units of the training rows; of columns by kind in a data frame one of n_samples * steps rows.

        Raises
        ------
        InputError
            If there are not as many last rows as first ones, `steps` is too small, or the label is missing or unknown.
        """
        single = all(_is_row(rows) for rows in (first, last))
        given = [one_row(rows) for rows in (first, last)]
        first, last = (np.asarray(rows)[None] if single and _is_row(rows) else rows for rows in given)
        codes = [self.encode(rows) for rows in (first, last)]
        n, m = (len(next(iter(one.values()))) for one in codes)
        if n != m:
            raise InputError(f"found {n} first and {m} last rows; expected as many of both")
        path = {name: between(codes[0][name], codes[1][name], steps).reshape(n * steps, -1) for name in codes[0]}
        labels = self._decoder_labels(label, n * steps)
        outer = self._covariates_on_the_way(first, covariates, steps)
        rows = self._decoded({name: torch.from_numpy(code) for name, code in path.items()}, labels, outer)
        if self._frame is not None and self.columns_ is not None:
            return rows
        rows = np.asarray(rows).reshape(n, steps, -1)
        return rows[0] if single else rows

    def _covariates_on_the_way(self, first: Any, covariates: Any, steps: int) -> Any:
        """Return the covariates at which the way from each of the first rows is decoded: those given, or those of the row."""
        if self.columns_ is None or not self.columns_.covariates:
            return covariates
        if covariates is None:
            rows = self._rows(first, self._decoder_covariates(first, None))
            return torch.cat(list(batches(rows)))[:, self.columns_.inner.width :].repeat_interleave(steps, 0)
        return covariates

    def _check_codes(self, codes: Any, latent: str = "style") -> Tensor:
        """Check codes (n, dim) of a latent."""
        check_is_fitted(self)
        values = check_array(codes, dtype=np.float32, input_name="codes")
        expected = self.model_.latent(latent).prior.dim
        if values.shape[1] != expected:
            raise InputError(f"codes have {values.shape[1]} columns; expected {expected}")
        return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))

    def sample(
        self,
        n: int = 1,
        label: Any = None,
        *,
        random_state: int | np.random.RandomState | None = None,
        covariates: Any = None,
    ) -> Any:
        r"""Draw rows from the model: decoded samples of the prior.

        Parameters
        ----------
        n : int
            How many, 1 or larger.
        label : label or array-like of them, (n,), optional
            Class of all rows, or of each: one of `classes_`, or the number of a cluster where there are no classes. Without it
            they are drawn from p(y): what `class_prior` or `cluster_prior` says, or else the frequencies that `SemiSupervisedAAE`
            took from its labels and `AAEClusterer` from its partition, or all equally likely. Of an `AAE` it is the class whose
            part of the prior is drawn from, with `label_informed`.
        random_state : int, RandomState or None
            Decides the draw.
        covariates
            As for `decode`.

        Returns
        -------
        array or data frame, (n, n_features)
            Rows, in the units of the training rows; columns by kind are drawn from p(x\|z), others are its mean.

        Raises
        ------
        InputError
            If a label is unknown, or there are labels and the model knows none.
        """
        check_is_fitted(self)
        check_scalar(n, "n", Integral, min_val=1)
        wanted = None
        if label is not None:
            if not len(self._known_labels):
                raise InputError(f"label is {label!r}; expected none, as the model knows no labels")
            wanted = torch.from_numpy(wanted_labels(label, n, self._known_labels)).to(self._device)
        seed = draw_seed(random_state)
        noise = Noise(seed, SAMPLES, device=self._device)
        if wanted is None and self.model_.decoder_classes is not None:
            wanted = noise.integers(self.model_.decoder_classes, n)
        with usual_state(), torch.no_grad(), seeded(seed, self._device):
            codes = self.model_.sample_codes(int(n), wanted, noise)
        return self._decoded(codes, wanted, covariates, None if self.model_.likelihood is None else seed)


def _is_row(rows: Any) -> bool:
    """Check whether this is one row rather than several."""
    return len(rows.shape if hasattr(rows, "shape") else np.shape(rows)) == 1
