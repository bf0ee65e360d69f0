"""What all estimators share: checked input, scaling, the model, and training that can go on."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data
from torch import Tensor, nn

from aae.device import choose_device, usual_state
from aae.errors import (
    CallbackError,
    CollapseWarning,
    InputError,
    InputWarning,
    InterruptedTrainingWarning,
    reason,
    unknown,
)
from aae.estimators.fitting import architecture, layer_sizes, refuse_changes
from aae.estimators.labels import mark_unlabelled, number_labels
from aae.estimators.sparse import SparseTable, as_table, take
from aae.estimators.splitting import hold_out
from aae.estimators.use import (
    BATCH,
    DTYPES,
    SHORT,
    FittedModel,
    Labels,
    batches,
    check_form,
    draw_seed,
    filled,
    medians,
    scaled,
)
from aae.estimators.weights import Weights, repeat, row_order
from aae.model import AdversarialAutoencoder
from aae.networks import ROUNDING, Corruption, Scaling
from aae.noise import Noise, seeded, torch_state
from aae.priors import Categorical, FromSampler, Gaussian, Prior
from aae.recipes.build_model import build_model
from aae.recipes.prior_settings import GaussianSettings
from aae.recipes.schema import (
    DecoderSettings,
    DiscriminatorSettings,
    EncoderSettings,
    ModelSettings,
    StyleSettings,
)
from aae.scaling import KINDS, ScalingKind, choose_scaling
from aae.training.callbacks import AnyCallback, Training, call, check_callbacks
from aae.training.data import TrainingData
from aae.training.diagnostics import diagnose, diagnose_codes, diagnose_labels
from aae.training.loop import Interruption
from aae.training.phases import Phase, adversarial_phases
from aae.training.progress import Progress
from aae.training.radii import neighbour_links, neighbour_radii
from aae.training.settings import LossSettings, OptimizerSettings, TrainingSettings, validation_message
from aae.training.trainer import INIT, ORDER, SAMPLES, STEPS, Trainer

DIAGNOSED_ROWS = 1000  # that are looked at for signs of collapse
DIAGNOSED_STEPS = 300  # after fewer nothing has collapsed: it has hardly begun
ASTRAY = 0.05  # share of the values of a column that may lie far outside the rows that the scaling was made from
AUTO_STEPS, AUTO_EPOCHS = 3000, 20  # epochs="auto": at least so many mini-batches, and so many passes over the rows
JOINT_STEPS, JOINT_EPOCHS = 500, 10  # the same where one joint update lowers all losses
LABELLED_BATCH = 100  # labelled rows in a joint update, at most
JOINT_EMA = 0.99  # decay of the moving average of weights, then
CHANNELS = [32, 64]  # of the convolutions of "conv", each of which halves an image


class AdversarialEstimator(FittedModel):
    """Base of the estimators.

    A subclass says with `_parts` what its model is made of, and calls `_train` with checked input. Parameters and attributes
    are described at `aae.AAE`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions({"gaussian"}), Prior, callable],
        "posterior": [StrOptions({"deterministic", "gaussian", "universal"})],
        "hidden_layer_sizes": ["array-like"],
        "discriminator_layer_sizes": ["array-like"],
        "batch_norm": [StrOptions({"none", "hidden", "all"})],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "discriminator_noise": [Interval(Real, 0, None, closed="left")],
        "scaling": [StrOptions(set(KINDS)), Scaling],
        "output": [StrOptions({"auto", "linear", "sigmoid"})],
        "epochs": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizers": [dict, None],
        "encoder": [StrOptions({"conv"}), nn.Module, None],
        "decoder": [StrOptions({"conv"}), nn.Module, None],
        "discriminator": [nn.Module, None],
        "missing": [StrOptions({"error", "mask"})],
        "image_shape": ["array-like", None],
        "learning_rate_decay": [StrOptions({"auto", "none", "linear", "cosine"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, tuple, None],
        "precision": [StrOptions({"fp32", "bf16", "tf32"})],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    _joint_steps: ClassVar[int] = JOINT_STEPS
    history_: list[dict[str, float]]
    n_iter_: int
    _seed: int
    _made_with: dict[str, Any]  # parameters of the architecture
    _built_from: str  # settings of the model, as JSON
    _steps: int  # mini-batches seen
    _warned: frozenset[str]  # signs of collapse that were told
    _interrupted: Interruption  # while fitting
    _failure: CallbackError | None  # of a callback, while fitting
    best_epoch_: int
    missing_fill_: NDArray[np.float64]
    _observed: NDArray[np.bool_] | None  # which values are known, while fitting
    _state: tuple[dict[str, Tensor], dict[str, Any]]  # optimizers and generators, to go on from

    def __init__(
        self,
        latent_dim: int = 8,
        *,
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
        learning_rate: float = 0.001,
        optimizers: dict[str, dict[str, Any]] | None = None,
        learning_rate_decay: Literal["auto", "none", "linear", "cosine"] = "auto",
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
        precision: Literal["fp32", "bf16", "tf32"] = "fp32",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        warm_start: bool = False,
        verbose: bool | int = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.prior = prior
        self.posterior = posterior
        self.hidden_layer_sizes = hidden_layer_sizes
        self.discriminator_layer_sizes = discriminator_layer_sizes
        self.batch_norm = batch_norm
        self.input_noise = input_noise
        self.discriminator_noise = discriminator_noise
        self.scaling = scaling
        self.output = output
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizers = optimizers
        self.learning_rate_decay = learning_rate_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.image_shape = image_shape
        self.missing = missing
        self.precision = precision
        self.device = device
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    def _parts(self) -> dict[str, Any]:
        """Choose what the model has beside the style: settings of `label`, `cluster_heads` and `decoder_sees_label`."""
        return {}

    @property
    def _num_classes(self) -> int:
        return 0

    @property
    def _style_dim(self) -> int:
        return int(self.latent_dim)

    # Training

    def _is_incremental(self, partial: bool) -> bool:
        """Check the parameters, and tell whether training goes on from what was fitted before."""
        self._validate_params()
        incremental = (partial or bool(self.warm_start)) and self.__sklearn_is_fitted__()
        if incremental:
            refuse_changes(self._made_with, self.get_params(deep=False))
        return incremental

    def _check_fit(self, X: Any, y: Any = "no_validation", *, incremental: bool, unlabelled: Any = None) -> Any:
        """Check rows, and labels where there are some, for training."""
        check_form(X)
        if y is not None and not isinstance(y, str):
            y = mark_unlabelled(y, unlabelled)
        masks = self.missing == "mask"
        checked = validate_data(
            self,
            X,
            y,
            reset=not incremental,
            dtype=DTYPES,
            ensure_min_samples=2,
            accept_sparse="csr",
            ensure_all_finite="allow-nan" if masks else True,
        )
        rows, labels = checked if isinstance(checked, tuple) else (checked, None)
        rows, self._observed = as_table(rows), None
        if not incremental and hasattr(self, "missing_fill_"):
            del self.missing_fill_
        if masks:
            if not incremental:
                self.missing_fill_ = np.zeros(rows.shape[1]) if isinstance(rows, SparseTable) else medians(rows)
            rows, self._observed = filled(rows, self.missing_fill_)
        return rows if labels is None else (rows, labels)

    def _train(
        self,
        X: NDArray[Any],
        labels: Labels | None = None,
        weights: Weights | None = None,
        class_weights: Weights | None = None,
        *,
        incremental: bool,
        partial: bool = False,
        validation: tuple[NDArray[Any], Labels | None] | None = None,
    ) -> Tensor:
        """Train on checked rows (n, n_features_in_), with labels (n,), -1 where unlabelled; returns the scaled rows.

        Rows count as their `weights` (n,) say, and labelled ones in the classification by the weight of their class besides.
        What is learnt does not depend on the order of the rows. Sets `model_`, `scaler_`, `history_` and `n_iter_`. A call from
        `partial_fit` makes one pass over the rows.
        """
        seed = self._seed if incremental else draw_seed(self.random_state)
        callbacks = check_callbacks(self.callbacks)
        index = row_order(X, labels)
        held = np.empty(0, np.int64)
        if not partial and validation is None and (self.early_stopping or self.validation_fraction is not None):
            fraction = 0.1 if self.validation_fraction is None else float(self.validation_fraction)
            index, held = hold_out(index, labels if self._scores_labels else None, fraction, seed)
            validation = take(X, held), None if labels is None else labels[held]
        index, drawn = repeat(index, weights)
        if len(index) < 2:
            raise InputError("sample_weight leaves one row; expected at least two with a weight above zero")
        scaler = self.scaler_ if incremental else self._make_scaler(take(X, index))
        history = list(self.history_) if incremental else []
        before = len(history)
        epochs = 1 if partial else self._epochs(len(index))
        settings = self._training_settings(epochs, seed, incremental=incremental or partial)
        device = choose_device(self.device)
        rows = scaled(scaler, X)
        measured = None
        if validation is not None:
            measured = scaled(scaler, validation[0]), validation[1]
        if incremental:
            self._check_place(rows, scaler)
        used, ordered = take(rows, index), None if labels is None else labels[index]
        learnt = self._learnt_labels(used, ordered, index, len(rows), seed, incremental=incremental, partial=partial)
        data = _training_data(used, learnt, drawn, class_weights)
        observed, self._observed = self._observed, None
        if observed is not None and not observed.all():
            data = replace(data, observed=torch.from_numpy(observed[index]))
        if partial:
            data = _whole_batches(data, int(self.batch_size), Noise(seed, ORDER, len(history), 1))
        if settings.losses.neighbours is not None:
            data = replace(data, radii=_radii(data.rows, settings.losses.neighbours))
        if settings.losses.linked is not None:
            data = replace(data, links=_links(data.rows, settings.losses.linked))
        data = data.to(device)
        with seeded(seed, device):
            model = copy.deepcopy(self.model_) if incremental else self._build(rows, seed)
            self._set_changeable(model)
            model.to(device)
            classify = data.labelled is not None and len(data.labelled) > 0
            trainer = Trainer(model, self._phases(model, classify, settings), data, settings, device)
            if incremental:
                self._go_on(trainer)
            for losses in self._run(trainer, epochs, callbacks, measured):
                history.append({"epoch": trainer.epoch, **losses})
            tensors, metadata = trainer.state()
            result = trainer.result()
            if trainer.best.epoch:
                self.best_epoch_ = trainer.best.epoch
                averages = {f"ema.{name}" for name in result} & tensors.keys()
                tensors |= {name: result[name.removeprefix("ema.")] for name in averages}
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("best.")}
            metadata.pop("best", None)
            if trainer.trained is not model or trainer.best.epoch:
                model.load_state_dict(result)
        tensors = {name: tensor.cpu() for name, tensor in tensors.items() if not name.startswith("module.")}
        self._state = (self._state[0] | tensors if incremental else tensors, metadata)
        self._seed, self.scaler_, self.model_, self.history_ = seed, scaler, model.eval(), history
        self.n_iter_ = len(history)
        if not incremental:
            self._made_with = architecture(self.get_params(deep=False))
            self._decodes_to = np.float32 if X.dtype in SHORT else np.float64
            self._steps, self._warned = 0, frozenset()
        self._steps += (len(history) - before) * trainer.steps_per_epoch
        self._report_collapse(rows, labels)
        return rows

    def _learnt_labels(
        self,
        rows: Tensor,
        labels: Labels | None,
        index: NDArray[np.int64],
        n: int,
        seed: int,
        *,
        incremental: bool,
        partial: bool,
    ) -> Labels | None:
        """Choose the labels that training learns on scaled rows, those of an index into the `n` given: the labels they have."""
        return labels

    def _go_on(self, trainer: Trainer) -> None:
        """Let a trainer go on where the last one stopped; on another kind of device its random numbers are new ones."""
        tensors, metadata = self._state
        weights = {f"module.{name}": tensor for name, tensor in trainer.module.state_dict().items()}
        if metadata["device"] != trainer.device.type:
            noise = Noise(self._seed, STEPS, metadata["epoch"], device=trainer.device)
            drawn = {"noise": noise.generator.get_state(), **torch_state(trainer.device)}
            tensors, metadata = tensors | drawn, {**metadata, "device": trainer.device.type}
        trainer.load_state(weights | tensors, metadata)

    def _run(
        self,
        trainer: Trainer,
        epochs: int,
        callbacks: Sequence[AnyCallback],
        validation: tuple[Tensor, Labels | None] | None,
    ) -> Iterator[dict[str, float]]:
        """Train for a number of epochs, with progress if asked for; returns the metrics of each."""
        first, last = trainer.epoch, trainer.epoch + epochs
        title = type(self).__name__
        progress = Progress(title, last, trainer.steps_per_epoch, trainer.epoch) if self.verbose else None
        watched = Training(title, trainer)
        self._failure = call("on_train_begin", callbacks, watched)
        with progress or nullcontext():
            while trainer.epoch < last and self._failure is None:
                metrics = trainer.run_epoch(lambda: _note_step(progress) or self._interrupted.is_set)
                cut = metrics is None
                if metrics is None:  # the epoch ends here; its rest is no part of the next
                    trainer.steps_per_epoch = trainer.step
                    metrics = trainer.close_epoch()
                assert metrics is not None
                if validation is not None:
                    assert isinstance(trainer.trained, AdversarialAutoencoder)
                    metrics |= self._validated(trainer.trained, *validation)
                    trainer.best.update(trainer.epoch, metrics, trainer.trained)
                watched.metrics = metrics
                self._failure = call("on_epoch_end", callbacks, watched)
                if progress is not None:
                    progress.epoch(watched.metrics)
                yield watched.metrics
                if self._interrupted.is_set and (cut or trainer.epoch < last):
                    warnings.warn(
                        f"interrupted in epoch {trainer.epoch - first} of {epochs}; the estimator keeps what was learnt so far",
                        InterruptedTrainingWarning,
                        stacklevel=2,
                    )
                    return
                if watched.stopped or trainer.best.gives_up:
                    break
        self._failure = self._failure or call("on_train_end", callbacks, watched)

    @property
    def _scores_labels(self) -> bool:
        """Whether it is the labels of validation rows that count, rather than the rows themselves."""
        return False

    def _check_validation(self, validation_data: Any) -> tuple[NDArray[Any], Labels | None] | None:
        """Check validation rows, or rows and labels, given to `fit`."""
        if validation_data is None:
            return None
        labelled = bool(self._num_classes)
        if labelled != (isinstance(validation_data, tuple | list) and len(validation_data) == 2):
            raise InputError(f"validation_data: expected {'a pair of rows and labels' if labelled else 'rows'}")
        X, y = validation_data if labelled else (validation_data, None)
        try:
            if y is not None:
                y = mark_unlabelled(y, getattr(self, "unlabelled", None))
            checked = self._filled(X)[0]
            if y is None:
                return checked, None
            given = column_or_1d(y)
            check_consistent_length(checked, given)
            numbers = number_labels(given, self.classes_)
            if not self._scores_labels and (numbers < 0).any():
                raise InputError("found unlabelled rows (-1), expected a label for every row")
            return checked, numbers
        except ValueError as error:
            raise InputError(f"validation_data: {reason(error)}") from None

    @usual_state()
    @torch.no_grad()
    def _validated(self, model: AdversarialAutoencoder, rows: Tensor, labels: Labels | None) -> dict[str, float]:
        """Measure a model under training on scaled validation rows: half the squared error, and the share of wrong labels."""
        model.eval()
        device = next(model.parameters()).device
        squared, wrong, known = 0.0, 0, 0
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH].to(device)
            of_part = None if labels is None else torch.from_numpy(labels[start : start + BATCH]).to(device)
            decoded = model.reconstruct(part, of_part if model.decoder_classes is not None else None)
            squared += 0.5 * (decoded - part).double().square().sum().item()
            if self._scores_labels and of_part is not None:
                labelled = of_part >= 0
                wrong += int((model.label_logits(part).argmax(1) != of_part)[labelled].sum())
                known += int(labelled.sum())
        metrics = {"validation_reconstruction": squared / len(rows)}
        return metrics | ({"validation_error_percent": 100 * wrong / known} if known else {})

    def _epochs(self, n: int) -> int:
        if self.epochs != "auto":
            return int(self.epochs)
        steps = n // min(int(self.batch_size), n)
        joint = self._loss_settings().joint
        least, passes = (self._joint_steps, JOINT_EPOCHS) if joint else (AUTO_STEPS, AUTO_EPOCHS)
        return max(passes, -(-least // steps))

    def _loss_settings(self) -> LossSettings:
        """Choose the losses, and what is added beside the paper's."""
        return LossSettings()

    def _make_scaler(self, X: NDArray[Any]) -> Scaling:
        """Find the scaling of rows from the training rows."""
        if isinstance(self.scaling, Scaling):
            columns = self.scaling.offset.numel()
            if columns not in (1, X.shape[1]):
                raise InputError(f"scaling is for {columns} columns; expected one for the {X.shape[1]} columns of X")
            return self.scaling
        scaler = choose_scaling(X, self.scaling, bounded=self.output == "sigmoid", images=False)
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        if self.verbose:
            print(f"{type(self).__name__}: scaling: {scaler.describe(names)}", file=sys.stderr)
        concern = scaler.concern(float(self.input_noise))
        if concern is not None:
            warnings.warn(concern, InputWarning, stacklevel=2)
        return scaler

    def _check_place(self, rows: Tensor, scaler: Scaling) -> None:
        """Warn where new rows, scaled, lie far outside those that the scaling was made from."""
        if scaler.low is None or scaler.high is None:
            return
        width = np.maximum(scaler.high - scaler.low, 1)
        low, high = (torch.from_numpy(end) for end in (scaler.low - width, scaler.high + width))
        counts = [((part < low) | (part > high)).sum(0) for part in batches(rows)]
        shares = torch.stack(counts).sum(0).numpy() / len(rows)
        far = np.flatnonzero(shares > ASTRAY)
        if len(far):
            column = int(far[0])
            name = getattr(self, "feature_names_in_", np.arange(len(shares)))[column]
            warnings.warn(
                f"{len(far)} of {len(shares)} columns lie far outside the rows that the scaling was made from, the first of them "
                f"is {name}, {shares[column]:.0%} of it; expected a first fit on rows like all that are to come",
                InputWarning,
                stacklevel=2,
            )

    def _report_collapse(self, rows: Tensor, labels: Labels | None) -> None:
        """Warn about each sign of collapse once."""
        if self._steps < DIAGNOSED_STEPS:
            return
        which = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), DIAGNOSED_ROWS)).round().astype(np.int64))
        some, known = rows[torch.from_numpy(which)], labels
        signs = list(diagnose(self.history_[-1], "estimator"))
        with seeded(self._seed, self._device):
            samples = self.model_.latent("style").prior.sample(len(some), None, Noise(self._seed, SAMPLES, 0, 1))
        signs += diagnose_codes(self._codes(some)["style"].cpu(), samples, "estimator")
        if self.model_.classifies:
            if labels is not None:
                which = np.union1d(which, np.flatnonzero(labels >= 0))
                some, known = rows[torch.from_numpy(which)], labels[which]
            predicted = self._probabilities(some).argmax(axis=1)
            signs += diagnose_labels(predicted, self._label_names, known, "estimator")
        for sign, advice in signs:
            if sign not in self._warned:
                warnings.warn(advice, CollapseWarning, stacklevel=2)
        self._warned |= {sign for sign, _ in signs}

    @property
    def _label_names(self) -> list[Any]:
        """What the categories of q(y|x) are called."""
        classes = list(getattr(self, "classes_", ()))
        return classes or list(range(self.model_.latent("label").prior.dim))

    def _build(self, rows: Tensor, seed: int) -> AdversarialAutoencoder:
        """Create the model for scaled rows."""
        inside = all(
            bool(part.min() >= -ROUNDING and part.max() <= 1 + ROUNDING) for part in batches(rows) if len(part)
        )
        if self.output == "sigmoid" and not inside:
            raise InputError(
                f"scaling is {self.scaling!r} and leaves values outside [0, 1], which output 'sigmoid' cannot reproduce; "
                "expected scaling 'minmax' or output 'linear'"
            )
        output = ("sigmoid" if inside else "linear") if self.output == "auto" else self.output
        hidden = layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        channels = {name: CHANNELS if getattr(self, name) == "conv" else [] for name in ("encoder", "decoder")}
        settings = ModelSettings(
            output=output,
            init="he",
            encoder=EncoderSettings(
                hidden=hidden,
                channels=channels["encoder"],
                batch_norm=self.batch_norm,
                input_noise=float(self.input_noise),
            ),
            decoder=DecoderSettings(hidden=hidden[::-1], channels=channels["decoder"][::-1]),
            discriminator=DiscriminatorSettings(
                hidden=layer_sizes("discriminator_layer_sizes", self.discriminator_layer_sizes),
                input_noise=float(self.discriminator_noise),
            ),
            style=StyleSettings(
                dim=self._style_dim,
                prior=GaussianSettings(kind="gaussian"),
                posterior=self.posterior,
                label_informed=self._label_informed,
            ),
            **self._parts(),
        )
        self._built_from = settings.model_dump_json(exclude_unset=True)
        return self._make(settings, rows.shape[1], seed)

    def _make(self, settings: ModelSettings, columns: int, seed: int) -> AdversarialAutoencoder:
        """Create the model that settings describe, with its initial weights."""
        given = {
            name: module
            for name in ("encoder", "decoder", "discriminator")
            if isinstance(module := getattr(self, name), nn.Module)
        }
        model = build_model(settings, self._image_shape(columns), self._num_classes, Noise(seed, INIT), given)
        assert isinstance(model, AdversarialAutoencoder)
        return model

    @property
    def _label_informed(self) -> bool:
        """Whether the discriminator of the style sees labels (section 2.3)."""
        return bool(getattr(self, "label_informed", False))

    def _image_shape(self, columns: int) -> tuple[int, ...]:
        """Find the shape of a row: that of an image where one is given."""
        if self.image_shape is None:
            for name in ("encoder", "decoder"):
                if getattr(self, name) == "conv":
                    raise InputError(f"{name} is 'conv' and image_shape is not set; expected (height, width) or more")
            return (columns,)
        shape = np.asarray(self.image_shape)
        whole = shape.dtype.kind in "iu" and shape.ndim == 1 and len(shape) in (2, 3) and shape.min() > 0
        if not whole or int(shape.prod()) != columns:
            raise InputError(
                f"image_shape is {self.image_shape!r}; expected (height, width) or (height, width, channels) with as many "
                f"values as X has columns, {columns}"
            )
        return tuple(int(size) for size in shape)

    def _set_changeable(self, model: AdversarialAutoencoder) -> None:
        """Give a model what training that goes on may change: its priors, and the noise on what its parts see."""
        prior = self.prior
        labels = self._num_classes if self._label_informed else None
        if isinstance(prior, str):
            prior = Gaussian(self._style_dim, num_labels=labels)
        elif not isinstance(prior, Prior):
            prior = FromSampler(prior, self._style_dim, labels)
        if labels is not None and prior.num_labels != labels:
            raise InputError(
                f"label_informed is set and the prior has num_labels {prior.num_labels}; expected {labels}, the number of classes"
            )
        if prior.dim != self._style_dim:
            raise InputError(f"the prior has {prior.dim} dimensions and the code {self._style_dim}; expected the same")
        model.latent("style").prior = prior
        if model.classifies:
            model.latent("label").prior = self._label_prior(model.latent("label").prior.dim)
        model.corruption = Corruption(float(self.input_noise))
        for name in model.latents:
            model.latent(name).corruption = Corruption(float(self.discriminator_noise))

    def _label_prior(self, categories: int) -> Categorical:
        """Create p(y) from the parameter that has the shares of the categories, if there is one."""
        for name in ("class_prior", "cluster_prior"):
            shares = getattr(self, name, None)
            try:
                if shares is not None:
                    return Categorical(categories, shares)
            except (TypeError, ValueError) as error:
                raise InputError(f"{name} is {shares!r}: {error}") from None
        return Categorical(categories)

    def _phases(self, model: AdversarialAutoencoder, classify: bool, settings: TrainingSettings) -> list[Phase]:
        """Create the phases, with the optimizers that estimators use and the changes that `optimizers` names."""
        losses, adam = settings.losses, OptimizerSettings(optimizer="adam", learning_rate=float(self.learning_rate))
        adversarial = adam.model_copy(update={"betas": (0.5, 0.999)})
        if losses.joint:
            adversarial = adversarial.model_copy(update={"learning_rate": self.learning_rate / 2})
        kind, start = self.learning_rate_decay, 0
        if kind == "auto":
            kind, start = ("linear", settings.epochs // 2) if losses.joint else ("none", 0)
        adam, adversarial = (one.model_copy(update={"decay": kind, "decay_from": start}) for one in (adam, adversarial))
        phases = adversarial_phases(model, settings.reduction, classify=classify, losses=losses)
        # A call without labels has no classification, which another has.
        names = [phase.name for phase in adversarial_phases(model, classify=bool(self._num_classes), losses=losses)]
        changes = dict(self.optimizers or {})
        for name, given in changes.items():
            if name not in names:
                raise unknown("phase in optimizers", name, names)
            if not isinstance(given, Mapping):
                raise InputError(f"optimizers[{name!r}] is {given!r}; expected a dictionary")
        own = {"discriminator": adversarial, "generator": adversarial}
        phases = [
            phase if phase.name == "repulsion" else phase.with_optimizer(own.get(phase.name, adam)) for phase in phases
        ]
        given = {}
        for name, change in changes.items():
            try:
                given[name] = OptimizerSettings.model_validate(change)
            except ValidationError as error:
                raise InputError(f"optimizers: {name}.{validation_message(error)}") from None
        return [phase.with_optimizer(given[phase.name]) if phase.name in given else phase for phase in phases]

    def _training_settings(self, epochs: int, seed: int, *, incremental: bool) -> TrainingSettings:
        """Choose length, batches and losses; training that goes on has no end for learning rates to fall to."""
        losses = self._loss_settings()
        joint = (
            {"labelled_batch_size": LABELLED_BATCH, "ema_decay": JOINT_EMA, "reduction": "mean"} if losses.joint else {}
        )
        return TrainingSettings(
            epochs=10**6 if incremental and (losses.joint or self.learning_rate_decay != "auto") else epochs,
            early_stopping=bool(self.early_stopping),
            patience=int(self.n_iter_no_change) if self.early_stopping else None,
            tolerance=float(self.tol),
            batch_size=int(self.batch_size),
            seed=seed,
            precision=self.precision,
            losses=losses,
            **joint,
        )


class AdversarialTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AdversarialEstimator):  # type: ignore[misc]
    """Base of the estimators whose `transform` gives as many columns as the style has dimensions."""

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent("style").prior.dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _whole_batches(data: TrainingData, size: int, noise: Noise) -> TrainingData:
    """Let a few rows come twice, so that all rows of a chunk are seen in whole mini-batches."""
    n = len(data.rows)
    order = torch.cat([torch.arange(n), noise.permutation(n)[: -n % min(size, n)]])
    labels = None if data.labels is None else data.labels[order]
    weights = None if data.weights is None else data.weights[order]
    labelled = None if labels is None else (labels >= 0).nonzero()[:, 0]
    labelled_weights = data.labelled_weights
    if labelled_weights is not None and labelled is not None:
        assert data.labelled is not None
        of_rows = torch.zeros(n, dtype=labelled_weights.dtype).index_copy(0, data.labelled, labelled_weights)
        labelled_weights = of_rows[order][labelled]
    return TrainingData(
        take(data.rows, order.numpy()),
        data.scaling,
        labels,
        labelled,
        weights=weights,
        labelled_weights=labelled_weights,
        observed=None if data.observed is None else data.observed[order],
    )


def _radii(rows: Tensor, neighbour: int) -> Tensor:
    """Compute the radius of each row for consistency, from a later neighbour where most rows have so many equals."""
    while True:
        try:
            return neighbour_radii(rows, Scaling.identity(), min(neighbour, len(rows) - 1))
        except InputError:
            if neighbour >= len(rows) - 1:
                return torch.ones(len(rows))  # all rows are equal: there is nothing to smooth
            neighbour *= 2


def _links(rows: Tensor, neighbours: int) -> Tensor:
    """Compute the links of each row with so many neighbours, or all other rows."""
    return neighbour_links(rows, Scaling.identity(), min(neighbours, len(rows) - 1))


def _training_data(
    rows: Tensor, labels: Labels | None, weights: Weights | None = None, class_weights: Weights | None = None
) -> TrainingData:
    """Gather what the engine trains on; the rows are scaled already."""
    data = TrainingData(rows, Scaling.identity(), weights=None if weights is None else torch.from_numpy(weights))
    if labels is None:
        return data
    labelled = np.flatnonzero(labels >= 0)
    counted = np.ones(len(labelled)) if weights is None else weights[labelled]
    if class_weights is not None:
        counted = counted * class_weights[labels[labelled]]
    even = not len(counted) or (counted == counted[0]).all()
    return replace(
        data,
        labels=torch.from_numpy(labels),
        labelled=torch.from_numpy(labelled),
        labelled_weights=None if even else torch.from_numpy(counted),
    )


def _note_step(progress: Progress | None) -> bool:
    """Show that a step is done; never asks to stop."""
    if progress is not None:
        progress.step()
    return False
