"""The basic adversarial autoencoder (section 2) as a transformer and a detector of anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from aae.data.anndata import labels_of
from aae.estimators.anomalies import AnomalyDetector
from aae.estimators.base import AdversarialEstimator
from aae.estimators.fitting import fitting
from aae.estimators.weights import row_order
from aae.model import AdversarialAutoencoder
from aae.priors import Prior
from aae.recipes.dimension import chosen_rows, principal_dimension
from aae.scaling import Scaling, ScalingKind
from aae.training.settings import Precision


class AAE(AnomalyDetector):
    """Adversarial autoencoder: codes whose distribution is that of a prior (section 2).

    Rows become codes with `transform`, codes become rows with `inverse_transform`, samples of the prior become new rows
    with `sample`. It is a detector of anomalies too: `score_samples` returns how normal a row is, and `predict` whether it is.

    Parameters
    ----------
    latent_dim : int or "auto", default=8
        Number of dimensions of a code. ``"auto"``: as many as principal components hold nine tenths of the variance of the
        scaled rows, or those of a `prior` that has its own.
    contamination : float or "auto", default="auto"
        Fraction of anomalies among the training rows, larger than 0 and at most 0.5. `offset_` is then that quantile of their
        scores, and as many of them, those furthest from the rest, are not compared with. Of 30 to 1000 rows, which the model
        fits better than new ones, these are scores as of new rows, by three further trainings on two thirds each (not of rows
        with weights, columns by kind or covariates).
        ``"auto"``: all are taken for normal, and `offset_` lies 1.5 interquartile ranges below the lower quartile of their
        scores, whether they are few or not.
    label_informed : bool, default=False
        Whether the discriminator sees the label, and each class of `y` gets a part of the prior of its own (section 2.3): a slice
        of the Gaussian, or what a `prior` with as many `num_labels` as there are classes gives it. Rows without a label are
        compared with the whole prior.
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
        Passes over the rows that `fit` makes. ``"auto"``: at least 20, and at least 900 mini-batches; of
        `SupervisedAAE` 920, and of others 3000 where each loss has an update of its own.
    batch_size : int, default=50
        Rows in a mini-batch, 2 or larger; at most all of them are used.
    learning_rate : float, default=0.002
        Rate of the optimizers of all phases, larger than 0; beside a joint update, which other estimators have, the
        discriminator's is half of it. They are Adam, with betas (0.5, 0.999) in the adversarial phases.
    optimizers : dict, optional
        Changes for single phases (``"reconstruction"``, ``"discriminator"``, ``"generator"``), in the words of a recipe:
        ``{"generator": {"learning_rate": 0.0005}, "reconstruction": {"optimizer": "sgd", "momentum": 0.9}}``.
    encoder : torch.nn.Module or "conv", optional
        Network in place of the fully connected one, from rows (batch, n_features) to features (batch, any), to which a linear
        layer for each part of the code is added. It is copied, with the weights it has. ``"conv"``: convolutions with 32 and 64
        channels before the hidden layers, for rows that are images of `image_shape`.
    decoder : torch.nn.Module or "conv", optional
        The same from codes, with what else the model decodes from, to (batch, n_features).
    discriminator : torch.nn.Module, optional
        Maps codes (batch, dim) to logits (batch, 1); each part of the code gets a copy.
    image_shape : sequence of int, optional
        (height, width) or (height, width, channels) of the flat rows.
    missing : {"error", "mask"}, default="error"
        What becomes of missing values, NaN. ``"mask"``: the encoder sees the median (of categories the most frequent) of the
        column in their place, the reconstruction loss leaves them out, and `impute` has them from the decoder.
    columns : "auto", str or dict, default="auto"
        What the columns are: ``"numerical"``, ``"boolean"``, ``"categorical"`` or ``"count"`` for all of them, or for those that
        a dictionary names (of an array by their place). ``"auto"``: in a data frame text and categories are categorical, true and
        false boolean, and the counts of an AnnData object are counts; all else is numerical, whole numbers too. Each kind has its
        likelihood in place of half the squared error (`aae.likelihoods.ColumnLikelihood`), where not all are plain numbers.
    handle_unknown : {"error", "unknown"}, default="error"
        What becomes of a category that `fit` did not see: an error, or no category at all.
    layer : str, optional
        Layer of an AnnData object that is read in place of its ``X``.
    learning_rate_decay : {"auto", "none", "linear", "cosine"}, default="linear"
        How the rates fall to 0 in the course of `fit`, evenly or along half a cosine. ``"auto"``, the default of
        `SemiSupervisedAAE`, `AAEClusterer` and `AAEEmbedding`: not at all, but evenly in the second half where one joint update
        lowers all losses. Training that goes on has no end, and its rates stay.
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
    precision : {"auto", "fp32", "bf16", "tf32"}, default="fp32"
        Of the matrix products in training; "auto": bf16 on devices that multiply in it, fp32 elsewhere.
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
    columns_ : Columns or None
        What the columns are, covariates last; None where all are plain numbers.
    missing_fill_ : array, (n_features_in_,)
        With ``missing="mask"`` what the encoder sees in place of missing values.
    best_epoch_ : int
        With `early_stopping` the epoch whose weights came back.
    latent_dim_ : int
        Number of dimensions of a code.
    classes_ : array, (n_classes,)
        With `label_informed` the labels there are, sorted; without -1.
    noise_variance_ : array of float, (n_features_in_,)
        Mean squared reconstruction error of each column of the scaled training rows, or of a sample of up to 10,000; larger
        than 0. After `partial_fit` that of a sample of up to 1000 of all rows seen, which the estimator keeps for it.
    offset_ : float
        Score below which a row is an anomaly.
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

    _least_steps: ClassVar[int] = 900
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **AdversarialEstimator._parameter_constraints,
        "latent_dim": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "contamination": [Interval(Real, 0, 0.5, closed="right"), StrOptions({"auto"})],
        "label_informed": ["boolean"],
    }

    latent_dim_: int
    label_informed: bool

    def __init__(
        self,
        latent_dim: int | Literal["auto"] = 8,
        *,
        contamination: float | Literal["auto"] = "auto",
        label_informed: bool = False,
        prior: Any = "gaussian",
        posterior: Literal["deterministic", "gaussian", "universal"] = "deterministic",
        hidden_layer_sizes: Sequence[int] = (200, 200),
        discriminator_layer_sizes: Sequence[int] = (200, 200),
        batch_norm: Literal["none", "hidden", "all"] = "none",
        input_noise: float = 0.1,
        discriminator_noise: float = 0.0,
        scaling: ScalingKind | Scaling = "auto",
        output: Literal["auto", "linear", "sigmoid"] = "auto",
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 50,
        learning_rate: float = 0.002,
        optimizers: dict[str, dict[str, Any]] | None = None,
        learning_rate_decay: Literal["auto", "none", "linear", "cosine"] = "linear",
        early_stopping: bool = False,
        validation_fraction: float | None = None,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        callbacks: Sequence[Any] | None = None,
        encoder: Any = None,
        decoder: Any = None,
        discriminator: Any = None,
        image_shape: Sequence[int] | None = None,
        missing: Literal["error", "mask"] = "error",
        columns: str | dict[Any, str] = "auto",
        handle_unknown: Literal["error", "unknown"] = "error",
        layer: str | None = None,
        precision: Precision = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self._set_parameters(locals())

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: Any = None,
        covariates: Any = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array-like or sparse, (n_samples, n_features)
            Rows; at least two. Sparse ones become dense batch by batch.
        y : array-like, (n_samples,), optional
            With `label_informed` labels: whole numbers or strings. -1, NaN, None and empty text mark unlabelled rows. Otherwise
            ignored.
        sample_weight : array-like, (n_samples,), optional
            How much each row counts, 0 or larger. Whole numbers (of a mean up to 10 over the rows that count) do what as
            many equal rows would; other weights say how often a row is drawn, relative to the others.
        validation_data : array-like, (n_validation, n_features), optional
            Rows that are only measured, after every epoch: what `early_stopping` goes by, in place of a part of the rows.
        covariates : str, sequence of str, data frame, mapping or array-like, (n_samples, m), optional
            What the decoder sees beside the code, and the encoder does not, such as a batch or donor: names of columns of `X` (of
            ``obs``, where that is an AnnData object), or their values, which then go as a last part into `validation_data` too.

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
        return self._fit(
            X, y, None, sample_weight, partial=False, validation_data=validation_data, covariates=covariates
        )

    def partial_fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
        covariates: Any = None,
    ) -> Self:
        """Make one pass over rows (n_samples, n_features), in mini-batches.

        Scaling and networks are those of an earlier `fit`, or else set up by the first call, whose rows should then be like all
        that are to come; a warning says where later ones are not. Optimizers go on as the last call left them. With
        `label_informed` the first call takes all `classes` there will be; without them they are those of its `y`. Raises as
        `fit` does.
        """
        return self._fit(X, y, classes, sample_weight, partial=True, covariates=covariates)

    @fitting
    def _fit(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: ArrayLike | None,
        *,
        partial: bool,
        validation_data: Any = None,
        covariates: Any = None,
    ) -> Self:
        incremental, labels = self._is_incremental(partial), None
        y = labels_of(X, y) if self.label_informed else None
        self._require_labels(y)
        X, y, weights, covariates = self._leave_out(X, y, sample_weight, covariates)
        if y is None:
            if hasattr(self, "classes_"):
                del self.classes_
            checked = self._check_fit(X, incremental=incremental, covariates=covariates)
        else:
            checked, labels = self._check_labelled(X, y, classes, incremental=incremental, covariates=covariates)
        validation = self._check_validation(validation_data, covariates)
        rows = self._train(checked, labels, weights, incremental=incremental, partial=partial, validation=validation)
        once = not partial and not incremental and weights is None
        as_new = self._scores_as_new(X, labels, row_order(checked, labels)) if once else None
        self._remember(rows, weights, incremental=incremental, partial=partial, at_once=not partial, as_new=as_new)
        return self

    @property
    def _style_dim(self) -> int:
        return self.latent_dim_

    @property
    def _num_classes(self) -> int:
        return len(self.classes_) if self.label_informed else 0

    @property
    def _known_labels(self) -> NDArray[Any]:
        return self.classes_ if self.label_informed else np.empty(0, np.int64)

    @property
    def _validates_labels(self) -> bool:
        return False

    def _build(self, rows: Tensor, seed: int) -> AdversarialAutoencoder:
        wanted: Any = self.latent_dim
        if wanted != "auto":
            self.latent_dim_ = int(wanted)
        elif isinstance(self.prior, Prior):
            self.latent_dim_ = self.prior.dim
        else:
            some = rows[chosen_rows(len(rows), rows.shape[1])]
            self.latent_dim_ = principal_dimension(self._encoded_part(some))
        return super()._build(rows, seed)

    def inverse_transform(self, X: ArrayLike, *, covariates: Any = None) -> Any:
        """Map codes (n_samples, latent_dim) to rows (n_samples, n_features), as `decode`."""
        return self._decoded({"style": self._check_codes(X)}, None, covariates, like=X)
