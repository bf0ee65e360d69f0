"""How normal rows are by a finished run: its anomaly score, its verdicts, and its log-density."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aae.anomaly_score import AnomalyScore
from aae.arrays import ArrayLike, finite_rows
from aae.device import usual_state
from aae.errors import InputError
from aae.files import check_finite_tensors, read_tensors
from aae.recipes.build_data import Source
from aae.recipes.model_settings import SCORED_MODELS
from aae.runs.use import TrainedModel


class ScoredRows(TrainedModel):
    """Base of `Run`: scores and verdicts of rows as they are stored."""

    def predict(self, rows: ArrayLike) -> NDArray[Any]:
        """Name the class, or number the cluster, of each row: (n, *shape) to (n,), whole numbers where names are some.

        A run without a label but with a threshold of anomalies (``evaluation.contamination``, as in the recipe "anomalies") gives
        1 for a normal row and -1 for an anomaly, as `aae.AAE` does.

        Raises
        ------
        InputError
            If the run has neither, or the rows are not of its shape.
        """
        if not self.detects_anomalies:
            return super().predict(rows)
        return np.where(self.decision_function(rows) < 0, -1, 1)

    @property
    def detects_anomalies(self) -> bool:
        """Whether the run infers no label but has a threshold of anomalies."""
        return not self.model.classifies and self.recipe.evaluation.contamination is not None

    @cached_property
    def anomaly_score(self) -> AnomalyScore:
        """The anomaly score as a module, of scaled rows.

        A run with ``evaluation.contamination`` has kept what it takes; otherwise it is made from the training rows, none of which
        then counts as an anomaly.

        Raises
        ------
        InputError
            If the model has no style, the file of the score does not fit the model, or the training
            rows cannot be loaded.
        """
        path = self.folder.anomaly_score
        if self.recipe.evaluation.contamination is None:
            return self._score_of_training_rows()
        state = read_tensors(path)
        check_finite_tensors(state, path)
        columns, dim = (
            self.scaling.inputs(self.shape) - self.autoencoder.covariates,
            self.autoencoder.latent("style").prior.dim,
        )
        sizes = {"points": columns + dim, "residual_unit": columns, "code_mean": dim, "noise_variance": columns}
        for name, size in sizes.items():
            if name not in state or state[name].shape[-1] != size:
                raise InputError(f"{path}: {name} does not fit the model; expected the anomaly score of this run")
        return AnomalyScore(self.autoencoder, {name: tensor.to(self.device) for name, tensor in state.items()})

    def _score_of_training_rows(self) -> AnomalyScore:
        from aae.runs.evaluate import anomaly_score

        if not self.recipe.model.has_anomaly_score:
            raise InputError(f"{self.folder.path}: has no anomaly score; expected {SCORED_MODELS}")
        try:
            dataset = self.load_data()
        except InputError as error:
            raise InputError(
                f"{error}; a score takes the training rows, unless evaluation.contamination was set in training, as in the "
                "recipe 'anomalies'"
            ) from None
        return anomaly_score(self.model, self.scaling, dataset.train.rows, "auto").to(self.device)

    def score_samples(self, rows: ArrayLike, data: Source | None = None) -> NDArray[np.float64]:
        """Compute how normal each row is, by the training rows nearest in code and residual: the score of `aae.AAE`.

        Parameters
        ----------
        rows : array, (n, *shape)
            Rows as stored.
        data : str, Path, array-like, (array-like, array-like) or Dataset, optional
            What the run was trained on, as for `load_data`: needed once where that was given from Python to another object than
            this one, and the run keeps no score (``evaluation.contamination``).

        Returns
        -------
        array of float64, (n,)
            Scores, larger for more normal rows; see `aae.anomaly_score`.

        Raises
        ------
        InputError
            As for `anomaly_score`, or if the rows are not of this run's shape.
        """
        if data is not None:
            self.load_data(data)
        score = self.anomaly_score
        return finite_rows(score.scores(torch.cat(list(self._batches(rows)))), "the score")

    def decision_function(self, rows: ArrayLike, data: Source | None = None) -> NDArray[np.float64]:
        """Compute the scores of rows (n, *shape) less the threshold, (n,), below 0 for an anomaly; as `score_samples`."""
        return self.score_samples(rows, data) - self.anomaly_score.offset

    @usual_state()
    @torch.no_grad()
    def log_joint(self, rows: ArrayLike) -> NDArray[np.float32]:
        r"""Compute log p(x, z) of each row at its style code z, in nats.

        With d values in a row and s2 the ``noise_variance`` of run.json, measured on training rows at the end of training, it is

        log p(x\|z) + log p(z) = - \|x - decoded z\|^2 / (2 s2) - d / 2 log(2 pi s2) + log p(z),

        x being the scaled row; of a table by kind log p(x\|z) is the sum over its columns. Where the density of the prior is not
        known everywhere the logit of the discriminator stands in for log p(z).

        Parameters
        ----------
        rows : array, (n, *shape)
            Rows as stored.

        Returns
        -------
        array, (n,)
            Log-densities.

        Raises
        ------
        InputError
            If the model has no style, its decoder has to be told labels, or the run was trained before there were such densities.
        """
        model, variance = self.autoencoder, self.metadata.get("noise_variance")
        if "style" not in model.latents or model.decoder_classes is not None:
            raise InputError(
                f"{self.folder.path}: has no log p(x, z); expected a model with a style whose decoder needs no label"
            )
        if variance is None:
            raise InputError(f"{self.folder.metadata}: holds no noise_variance; expected a run of this version")
        parts = [model.log_joint(batch, variance).cpu().numpy() for batch in self._batches(rows)]
        return finite_rows(np.concatenate(parts), "log p(x, z)")
