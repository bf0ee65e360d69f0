"""What plots and explorers show of a fitted estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from aae.data.anndata import covariates_of, labels_of
from aae.device import usual_state
from aae.errors import InputError
from aae.estimators.labels import find_classes, mark_unlabelled, number_labels
from aae.estimators.rows import Rows, batches, scaled
from aae.estimators.use import FittedModel
from aae.noise import SAMPLES, Noise
from aae.views.methods import Plots
from aae.views.view import View

PRIOR = 2000  # samples of p(z) under the codes of a plot


class PlottedModel(Plots, FittedModel):
    """Base of the estimators: plots of rows, once they are fitted."""

    def _view_for_samples(self, X: Any, image_shape: tuple[int, ...] | None) -> View:
        check_is_fitted(self)
        if X is not None:
            return self._view(X, None, image_shape)
        return self._view_of(torch.empty(0, self._inputs, dtype=torch.float32), None, image_shape)

    def _view(self, X: Any, y: Any, image_shape: tuple[int, ...] | None) -> View:
        if X is None:
            raise InputError(f"X is None; expected rows, of which {type(self).__name__} keeps none")
        beside = None if self.columns_ is None else covariates_of(X, self.columns_.outer.names)
        check_is_fitted(self)
        filled, observed = self._filled(X, beside)
        rows = torch.cat(list(batches(scaled(self.scaler_, filled))))  # sparse ones too: what is drawn is dense
        lacks = beside is None and self.columns_ is not None and self.columns_.covariates > 0
        seen = self._view_of(rows, labels_of(X, y), image_shape)
        return replace(seen, observed=observed, lacks_covariates=lacks and not self._named_covariates)

    def _view_of(self, rows: Tensor, y: Any, image_shape: tuple[int, ...] | None) -> View:
        """Create the view of scaled rows (n, inputs)."""
        codes, model = self._codes(rows), self.model_
        with usual_state(), torch.no_grad():
            points = (model.representation(codes) if model.cluster_heads is not None else codes["style"]).cpu().numpy()
            seed = Noise(0, SAMPLES, device=self._device)
            prior = model.latent("style").prior.sample(PRIOR, None, seed).cpu().numpy()
        known = np.asarray(getattr(self, "classes_", ()))
        labels, classes = None, known
        if y is not None:
            given = np.asarray(mark_unlabelled(y, getattr(self, "unlabelled", None), known))
            if given.shape != (len(rows),):
                raise InputError(f"y has shape {given.shape}; expected ({len(rows)},)")
            classes = known if len(known) else find_classes(given)
            labels = number_labels(given, classes)
        categories = model.label_head.num_labels if model.classifies else 0
        shape = tuple(image_shape or getattr(self, "image_shape", None) or ())
        stored = self.scaler_.inverse(rows).numpy().astype(self._decodes_to)
        return View(
            title=self._title(),
            model=model,
            scaling=self.scaler_,
            rows=stored,
            points=points,
            labels=labels,
            class_names=tuple(map(str, classes)),
            predicted=self._probabilities(rows).argmax(axis=1) if model.classifies else None,
            category_names=tuple(map(str, known if len(known) == categories else range(categories))),
            clusters=not len(known),
            prior=None if model.cluster_heads is not None else prior,
            heads=None if model.cluster_heads is None else model.cluster_heads.weight.detach().cpu().numpy(),
            image_shape=shape[:2] if shape[2:] == (1,) else shape,
            image_range=self._range(stored),
            columns=tuple(map(str, getattr(self, "feature_names_in_", ()))),
            table=self.columns_,
        )

    def _range(self, rows: Rows) -> tuple[float, float]:
        """Find the range of rows (n, columns); without any that of the training rows, where it is known, or else 0 to 1."""
        low, high = self.scaler_.low, self.scaler_.high
        if not len(rows) and low is not None and high is not None:
            rows = self.scaler_.inverse(torch.from_numpy(np.stack([low, high])).float()).numpy()
        return (float(rows.min()), float(rows.max())) if len(rows) else (0.0, 1.0)

    def _title(self) -> str:
        epochs = len(self.history_)
        return f"{type(self).__name__} on {self.n_features_in_} columns, {epochs} epoch{'s' * (epochs != 1)}"

    def _histories(self) -> tuple[list[Sequence[Mapping[str, Any]]], str]:
        check_is_fitted(self)
        return [self.history_], self._title()
