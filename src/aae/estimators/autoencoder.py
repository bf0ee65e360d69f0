"""The basic adversarial autoencoder (section 2) as a transformer."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from aae.device import usual_state
from aae.estimators.base import AdversarialTransformer
from aae.estimators.fitting import fitting
from aae.estimators.use import Rows, batches
from aae.estimators.weights import check_weights
from aae.noise import Noise
from aae.training.trainer import ORDER

KEPT_ROWS, KEPT_VALUES = (50, 1000), 2**20  # of a sample of all rows seen: 4 MiB, unless rows are very long


class AAE(AdversarialTransformer):
    """Adversarial autoencoder: codes whose distribution is that of a prior (section 2).

    Rows become codes with `transform`, codes become rows with `inverse_transform`, samples of the prior become new rows
    with `sample`, and `score_samples` says how normal a row is.

    Parameters
    ----------
    latent_dim : int, default=8
        Number of dimensions of a code.
    prior : "gaussian", Prior or callable, default="gaussian"
        What the distribution of the codes is matched to: N(0, I), any of `aae.priors`, or a function that is called as
        ``prior(n)`` and returns a tensor (n, latent_dim).
    posterior : {"deterministic", "gaussian", "universal"}, default="deterministic"
        Kind of q(z|x). The codes that `transform` gives are f(x), the mean, or f(x, 0).
    hidden_layer_sizes : sequence of int, default=(200, 200)
        Hidden layers of the encoder, from the row on; the decoder has them in the reverse order.
    discriminator_layer_sizes : sequence of int, default=(200, 200)
        Hidden layers of each discriminator.
    batch_norm : {"none", "hidden", "all"}, default="none"
        Which layers of the encoder are followed by batch normalization.
    input_noise : float, default=0.1
        Standard deviation of the Gaussian noise on scaled rows that the encoder sees during training, 0 or larger. Scaled rows
        have standard deviation 1, but for ``"minmax"`` and ``"none"``.
    discriminator_noise : float, default=0.0
        Standard deviation of the Gaussian noise on what a discriminator sees during training, 0 or larger. Not in the
        paper: it blunts a discriminator that wins.
    scaling : {"auto", "common", "standardize", "minmax", "pixels", "none"} or Scaling, default="auto"
        What rows pass through first. ``"auto"`` looks at the spread of the columns: where all are about as wide, they share a
        unit, and each is centred and all are divided by one number (``"common"``); otherwise each gets mean 0 and variance 1
        (``"standardize"``), heavy-tailed ones after an asinh (see `aae.scaling.choose_scaling`). Where `output` is
        ``"sigmoid"`` the same rule ends in [0, 1]. ``"minmax"``: each column to [0, 1]. A Scaling is that of another
        estimator, its `scaler_`.
    output : {"auto", "linear", "sigmoid"}, default="auto"
        Activation of the decoder's last layer. ``"auto"``: sigmoid where the scaled rows are inside [0, 1], else linear.
    epochs : int or "auto", default="auto"
        Passes over the rows that `fit` makes. ``"auto"``: at least 20, and at least 3000 mini-batches.
    batch_size : int, default=50
        Rows in a mini-batch, 2 or larger; at most all of them are used.
    learning_rate : float, default=0.001
        Rate of the optimizers of all phases, larger than 0. They are Adam, with betas (0.5, 0.999) in the adversarial
        phases.
    optimizers : dict, optional
        Changes for single phases (``"reconstruction"``, ``"discriminator"``, ``"generator"``), in the words of a recipe:
        ``{"generator": {"learning_rate": 0.0005}, "reconstruction": {"optimizer": "sgd", "momentum": 0.9}}``.
    encoder, decoder : torch.nn.Module or "conv", optional
        Networks in place of the fully connected ones. An encoder maps rows (batch, n_features) to features (batch, any), to which
        a linear layer for each part of the code is added; a decoder maps codes, with what else the model decodes from, to
        (batch, n_features). They are copied, with the weights they have. ``"conv"``: two convolutions with 32 and 64 channels
        beside the hidden layers, for rows that are images of `image_shape`.
    discriminator : torch.nn.Module, optional
        Maps codes (batch, dim) to logits (batch, 1); each part of the code gets a copy.
    image_shape : sequence of int, optional
        (height, width) or (height, width, channels) of the flat rows.
    missing : {"error", "mask"}, default="error"
        What becomes of missing values, NaN. ``"mask"``: the encoder sees the median of the column in their place, the
        reconstruction loss leaves them out, and `impute` has them from the decoder.
    learning_rate_decay : {"auto", "none", "linear", "cosine"}, default="auto"
        How the rates fall to 0 in the course of `fit`, evenly or along half a cosine. ``"auto"``: not at all, but evenly in the
        second half where one joint update lowers all losses. Training that goes on has no end, and its rates stay.
    early_stopping : bool, default=False
        Whether training ends when validation rows are no longer reconstructed (or classified) better, and the weights of the best
        epoch come back. The rows are those of `validation_data`, or a part of the rows is held out.
    validation_fraction : float, optional
        Fraction of the rows that is held out, in (0, 1); with labels a fraction of the labelled rows of each class. What is
        measured on them is in `history_`. By default 0.1 with `early_stopping`, otherwise none.
    n_iter_no_change : int, default=10
        Epochs without improvement after which `early_stopping` ends the training.
    tol : float, default=1e-4
        By how much the reconstruction error, or the percentage of errors, has to fall to count as an improvement.
    callbacks : list, optional
        Functions that are called after every epoch with the `aae.callbacks.Training`, or objects with some of the methods
        `on_train_begin`, `on_epoch_end` and `on_train_end`. Where one fails the estimator keeps what was learnt until then, and a
        CallbackError names it.
    precision : {"fp32", "bf16", "tf32"}, default="fp32"
        Of the matrix products in training.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where to train.
    warm_start : bool, default=False
        Whether another call of `fit` trains on, with the networks and scaling that are there, and optimizers as they were. What
        the networks are made of cannot have changed by then; rates, optimizers, noise, priors, batches and epochs can.
    verbose : bool or int, default=False
        Whether to show progress: a bar in a notebook or terminal, short lines on stderr elsewhere.
    random_state : int, RandomState or None, default=None
        Decides initial weights, order of the rows and everything drawn in training.

    Attributes
    ----------
    model_ : AdversarialAutoencoder
        The trained model, in evaluation mode; it sees scaled rows.
    scaler_ : Scaling
        What rows pass through on their way to the model: its `kind`, `offset` and `factor`, and `transform`.
    history_ : list of dict
        Per epoch its number, the mean losses and what the phases log.
    n_iter_ : int
        Number of epochs, one that Ctrl-C ended early included.
    missing_fill_ : array, (n_features_in_,)
        With ``missing="mask"`` what the encoder sees in place of missing values.
    best_epoch_ : int
        With `early_stopping` the epoch whose weights came back.
    noise_variance_ : float
        Mean squared reconstruction error of the scaled training rows, per dimension; larger than 0. After `partial_fit` that of
        a sample of up to 1000 of all rows seen, which the estimator keeps for it.
    n_features_in_ : int
        Number of columns seen by `fit`.
    feature_names_in_ : array of str, (n_features_in_,)
        Names of the columns, where `fit` saw some.

    Notes
    -----
    Ctrl-C ends `fit` with what was learnt so far: it returns, and a warning says how far it came. A second Ctrl-C raises
    KeyboardInterrupt and leaves the estimator as it was, as any error does. A warning says too where training has collapsed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import AAE
    >>> rows = load_iris().data
    >>> model = AAE(latent_dim=2, random_state=0).fit(rows)
    >>> model.transform(rows).shape
    (150, 2)
    >>> model.sample(3).shape
    (3, 4)
    """

    _kept: Tensor  # a sample of all scaled rows seen
    _seen: int  # of so many

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: ArrayLike | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array-like or sparse, (n_samples, n_features)
            Rows; at least two. Sparse ones become dense batch by batch.
        y : ignored
            Present by convention.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10) do what as many equal rows would; other
            weights say how often a row is drawn, relative to the others.
        validation_data : array-like, (n_validation, n_features), optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.

        Returns
        -------
        AAE
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range or the rows cannot be used.
        TrainingError
            If a loss or a weight is not finite.
        """
        return self._fit(X, sample_weight, validation_data, partial=False)

    def partial_fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Make one pass over rows (n_samples, n_features), in mini-batches.

        Scaling and networks are those of an earlier `fit`, or else set up by the first call, whose rows should then be like all
        that are to come; a warning says where later ones are not. Optimizers go on as the last call left them. Raises as
        `fit` does.
        """
        return self._fit(X, sample_weight, None, partial=True)

    @fitting
    def _fit(
        self, X: ArrayLike, sample_weight: ArrayLike | None, validation_data: ArrayLike | None, *, partial: bool
    ) -> Self:
        incremental = self._is_incremental(partial)
        checked = self._check_fit(X, incremental=incremental)
        validation = self._check_validation(validation_data)
        weights = check_weights("sample_weight", sample_weight, len(checked))
        rows = self._train(checked, weights=weights, incremental=incremental, partial=partial, validation=validation)
        self._keep_some(rows, anew=not partial or not incremental)
        errors = self._squared_errors(self._kept if partial else rows)
        mean = np.average(errors, weights=None if partial else weights)
        self.noise_variance_ = max(float(mean) / rows.shape[1], float(np.finfo(np.float32).eps))
        return self

    def _keep_some(self, rows: Tensor, *, anew: bool) -> None:
        """Keep a fair sample of all scaled rows seen so far, for what `partial_fit` measures on all of them."""
        kept, seen = (rows[:0], 0) if anew else (self._kept, self._seen)
        size = max(KEPT_ROWS[0], min(KEPT_ROWS[1], KEPT_VALUES // rows.shape[1]))
        noise = Noise(self._seed, ORDER, seen, 2)
        total = seen + len(rows)
        # As many of the old ones as a draw without replacement from all would have, on average.
        old = min(len(kept), round(min(size, total) * seen / total))
        new = min(len(rows), min(size, total) - old)
        parts = [kept[noise.permutation(len(kept))[:old]], rows[noise.permutation(len(rows))[:new]]]
        self._kept, self._seen = torch.cat(parts), total

    def transform(self, X: ArrayLike) -> Rows:
        """Map rows (n_samples, n_features) to codes (n_samples, latent_dim)."""
        codes: Rows = self._codes(self._rows(X))["style"].cpu().numpy()
        return codes

    def inverse_transform(self, X: ArrayLike) -> Rows:
        """Map codes (n_samples, latent_dim) to rows (n_samples, n_features), in the units of the training rows."""
        return self._decoded({"style": self._check_codes(X)})

    def sample(self, n: int = 1, *, random_state: int | np.random.RandomState | None = None) -> Rows:
        """Draw rows from the model: decoded samples of the prior.

        Parameters
        ----------
        n : int
            How many, 1 or larger.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        array, (n, n_features)
            Rows, in the units of the training rows.
        """
        return self._draw(n, None, random_state)

    def score_samples(self, X: ArrayLike) -> Rows:
        r"""Return how normal each row is: log p(x, z) at its code z, in nats; larger is more normal.

        With z the code of the row, d the number of its columns, and s2 = `noise_variance_`, this is

        log p(x\|z) + log p(z) = - \|x - decoded z\|^2 / (2 s2) - d / 2 log(2 pi s2) + log p(z).

        A row scores low if it cannot be reconstructed, or if its code lies where the prior has little mass. x is the scaled
        row. Where the density of the prior is not known everywhere (one that can only be sampled, or a uniform one) the
        logit of the discriminator, which estimates log p(z) - log q(z), stands in for log p(z).

        Parameters
        ----------
        X : array-like, (n_samples, n_features)
            Rows.

        Returns
        -------
        array, (n_samples,)
            Scores.
        """
        rows = self._rows(X)
        errors = self._squared_errors(rows)
        constant = 0.5 * rows.shape[1] * np.log(2 * np.pi * self.noise_variance_)
        scores: NDArray[np.float64] = self._log_prior(rows) - errors / (2 * self.noise_variance_) - constant
        return scores.astype(np.float32)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Compute the mean of `score_samples` over rows (n_samples, n_features); `y` is ignored."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    @usual_state()
    @torch.no_grad()
    def _squared_errors(self, rows: Tensor) -> NDArray[np.float64]:
        """Compute the squared error of the reconstruction of each scaled row."""
        parts = []
        for batch in batches(rows):
            there = batch.to(self._device)
            parts.append((self.model_.reconstruct(there) - there).cpu().numpy())
        return np.concatenate([np.square(part, dtype=np.float64).sum(axis=1) for part in parts])

    @usual_state()
    @torch.no_grad()
    def _log_prior(self, rows: Tensor) -> NDArray[np.float64]:
        latent = self.model_.latent("style")
        codes = self._codes(rows)["style"]
        known = latent.prior.density_everywhere
        values: Rows = (latent.prior.log_prob(codes) if known else latent.discriminate(codes)).cpu().numpy()
        return values.astype(np.float64)
