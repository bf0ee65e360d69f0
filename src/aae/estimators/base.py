"""What all estimators share: scaling, and training that can go on."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from torch import Tensor

from aae.device import choose_device
from aae.errors import (
    CallbackError,
    CollapseWarning,
    InputError,
    InputWarning,
    InterruptedTrainingWarning,
)
from aae.estimators.checked_input import CheckedInput
from aae.estimators.fitting import architecture, refuse_changes
from aae.estimators.optimizers import usual_optimizers, with_optimizers
from aae.estimators.rows import (
    SHORT,
    Labels,
    Rows,
    batches,
    check_place,
    draw_seed,
    scaled,
)
from aae.estimators.saving import SavedModel
from aae.estimators.sparse import take
from aae.estimators.training_data import links, radii, training_data, whole_batches
from aae.estimators.validation import Validation, hold_out, measure
from aae.estimators.view import PlottedModel
from aae.estimators.weights import Weights, repeat, row_order
from aae.model import AdversarialAutoencoder
from aae.noise import ORDER, SAMPLES, STEPS, Noise, seeded, torch_state
from aae.scaling import Scaling, choose_column_scaling, choose_scaling
from aae.training.callbacks import AnyCallback, Training, call, check_callbacks
from aae.training.diagnostics import diagnose, diagnose_codes, diagnose_labels, labels_used
from aae.training.phases import Phase, adversarial_phases
from aae.training.progress import Progress
from aae.training.settings import LossSettings, TrainingSettings, Weight, fading
from aae.training.signals import Interruption
from aae.training.trainer import Trainer

DIAGNOSED_ROWS = 1000  # that are looked at for signs of collapse
DIAGNOSED_STEPS = 300  # after fewer nothing has collapsed: it has hardly begun
LEAST_STEPS, LEAST_EPOCHS = 3000, 20  # epochs="auto": at least so many mini-batches, and so many passes over the rows
JOINT_STEPS, JOINT_EPOCHS = 400, 10  # the same where one joint update lowers all losses
LABELLED_BATCH = 100  # labelled rows in a joint update, at most
START_LABELS = 0.5  # part of the epochs in which labels to start from are learnt
JOINT_EMA = 0.99  # decay of the moving average of weights, then


class AdversarialEstimator(CheckedInput, PlottedModel, SavedModel):
    """Base of the estimators.

    A subclass says with `_parts` what its model is made of, and calls `_train` with checked input. Parameters and attributes
    are described at `aae.AAE`.
    """

    _least_steps: ClassVar[int] = LEAST_STEPS
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
    _state: tuple[dict[str, Tensor], dict[str, Any]]  # optimizers and generators, to go on from

    def _is_incremental(self, partial: bool) -> bool:
        """Check the parameters, and tell whether training goes on from what was fitted before."""
        self._validate_params()
        incremental = (partial or bool(self.warm_start)) and self.__sklearn_is_fitted__()
        if incremental:
            refuse_changes(self._made_with, self.get_params(deep=False))
        return incremental

    def _train(
        self,
        X: NDArray[Any],
        labels: Labels | None = None,
        weights: Weights | None = None,
        class_weights: Weights | None = None,
        *,
        incremental: bool,
        partial: bool = False,
        validation: Validation | None = None,
    ) -> Tensor:
        """Train on checked rows (n, n_features_in_), with labels (n,), -1 where unlabelled; returns the scaled rows.

        Rows count as their `weights` (n,) say, and labelled ones in the classification by the weight of their class besides.
        What is learnt does not depend on the order of the rows. Sets `model_`, `scaler_`, `history_` and `n_iter_`. A call from
        `partial_fit` makes one pass over the rows.
        """
        holds_out = bool(self.early_stopping) or self.validation_fraction is not None
        if partial and holds_out:
            option = "early_stopping" if self.early_stopping else "validation_fraction"
            raise InputError(f"{option} is {getattr(self, option)!r}; partial_fit measures no rows, and expects none")
        seed = self._seed if incremental else draw_seed(self.random_state)
        callbacks = check_callbacks(self.callbacks)
        index = row_order(X, labels)
        if holds_out and validation is None:
            fraction = 0.1 if self.validation_fraction is None else float(self.validation_fraction)
            index, held = hold_out(index, labels if self._scores_labels else None, fraction, seed)
            own, known = None if labels is None else labels[held], self._observed
            observed_there = None if known is None else known[held]
            validation = Validation(take(X, held), own, observed_there, None if weights is None else weights[held])
        index, drawn = repeat(index, weights)
        scaler = self.scaler_ if incremental else self._make_scaler(take(X, index))
        history = list(self.history_) if incremental else []
        before = len(history)
        epochs = 1 if partial else self._epochs(len(index))
        device = choose_device(self.device)
        rows = scaled(scaler, X)
        measured = None
        if validation is not None:
            measured = replace(validation, rows=scaled(scaler, validation.rows))
        if incremental:
            check_place(rows, scaler, self._input_names(X.shape[1]))
        used, ordered = take(rows, index), None if labels is None else labels[index]
        seen = self._encoded_part(used, scaler)
        learnt = self._learnt_labels(seen, ordered, index, len(rows), seed, incremental=incremental, partial=partial)
        settings = self._training_settings(epochs, seed, incremental=incremental or partial)
        data = training_data(used, learnt, drawn, class_weights)
        start = None if incremental or partial else self._start_labels(seen, ordered, seed)
        if start is not None:
            data = replace(data, start=torch.from_numpy(start))
        observed, self._observed = self._observed, None
        if observed is not None and not observed.all():
            data = replace(data, observed=torch.from_numpy(observed[index]))
        if partial:
            data = whole_batches(data, self._batch_size, Noise(seed, ORDER, len(history), 1))
        if settings.losses.neighbours is not None:
            data = replace(data, radii=radii(self._encoded_part(data.rows, scaler), settings.losses))
        if settings.losses.linked is not None:
            data = replace(data, links=links(self._encoded_part(data.rows, scaler), settings.losses.linked))
        data = data.to(device)
        with seeded(seed, device):
            model = copy.deepcopy(self.model_) if incremental else self._build(rows, seed)
            if not incremental:
                model.measure(scaler, batches(rows))
            self._set_changeable(model)
            model.to(device)
            classify = data.labelled is not None and len(data.labelled) > 0
            start_weight = 0.0 if start is None else fading(START_LABELS, epochs)
            phases = self._phases(model, classify, settings, start_weight)
            trainer = Trainer(model, phases, data, settings, device)
            if incremental:
                self._go_on(trainer)
            for losses in self._run(trainer, epochs, callbacks, measured):
                history.append({"epoch": trainer.epoch, **losses})
            tensors, metadata = trainer.state()
            result = trainer.result()
            if hasattr(self, "best_epoch_"):  # of a training before
                del self.best_epoch_
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

    def _start_labels(self, rows: Tensor, labels: Labels | None, seed: int) -> Labels | None:
        """Find labels (n,) of scaled rows that q(y|x) starts from beside those that are known, -1 where there is none."""
        return None

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
        validation: Validation | None,
    ) -> Iterator[dict[str, float]]:
        """Train for a number of epochs, with progress if asked for; returns the metrics of each."""
        first, last = trainer.epoch, trainer.epoch + epochs
        title = type(self).__name__
        progress = Progress(title, last, trainer.steps_per_epoch, trainer.epoch) if self.verbose else None
        watched = Training(title, trainer, epochs=last)
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
                    metrics |= measure(trainer.trained, validation, scores_labels=self._scores_labels)
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

    def _input_names(self, columns: int) -> Sequence[Any]:
        """Name the inputs of the networks, those of a category by its column."""
        if self.columns_ is None:
            names: Sequence[Any] = getattr(self, "feature_names_in_", range(columns))
            return names
        return [column.name for column in self.columns_.columns for _ in range(max(1, column.levels))]

    def _epochs(self, n: int) -> int:
        if self.epochs != "auto":
            return int(self.epochs)
        steps = n // min(self._batch_size, n)
        joint = self._loss_settings().joint
        least, passes = (self._joint_steps, JOINT_EPOCHS) if joint else (self._least_steps, LEAST_EPOCHS)
        return max(passes, -(-least // steps))

    @property
    def _batch_size(self) -> int:
        return int(self.batch_size)

    @property
    def _learning_rate(self) -> float:
        return float(self.learning_rate)

    def _loss_settings(self) -> LossSettings:
        """Choose the losses, and what is added beside the paper's."""
        return LossSettings()

    def _make_scaler(self, X: NDArray[Any]) -> Scaling:
        """Find the scaling of rows from the training rows."""
        if isinstance(self.scaling, Scaling):
            count = self.scaling.offset.numel()
            if count not in (1, X.shape[1]):
                raise InputError(f"scaling is for {count} columns; expected one for the {X.shape[1]} columns of X")
            if self.columns_ is not None and self.scaling.inputs(X.shape[1:]) != self.columns_.width:
                raise InputError("scaling is for numbers alone; expected one for columns of these kinds, or a rule")
            return self.scaling
        columns = self.columns_
        if columns is not None and self.output == "sigmoid":
            raise InputError("output is 'sigmoid'; columns by kind have outputs of their own, expected 'auto'")
        if columns is None:
            scaler = choose_scaling(X, self.scaling, bounded=self.output == "sigmoid", images=False)
        else:
            scaler = choose_column_scaling(
                X, columns.kinds, columns.levels, self.scaling, covariates=columns.covariates
            )
            if self.verbose or (self.columns == "auto" and not columns.inner.are_numbers):
                print(f"{type(self).__name__}: columns: {columns.describe()}", file=sys.stderr)
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        if self.verbose:
            print(f"{type(self).__name__}: scaling: {scaler.describe(names)}", file=sys.stderr)
        corrupts = self._loss_settings().corrupts
        concern = scaler.concern(float(self.input_noise) if corrupts else 0.0)
        if concern is None and not corrupts and self.input_noise not in (0, self._default("input_noise")):
            concern = (
                f"input_noise is {self.input_noise:g} and has no effect, as these losses are those of rows as they are; "
                "losses='paper' has some of corrupted rows"
            )
        if concern is not None:
            warnings.warn(concern, InputWarning, stacklevel=2)
        return scaler

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
            # Rare classes may have more labels than their share.
            if known is not None and labels_used(predicted, known):
                signs = [sign for sign in signs if sign[0] != "label_normalized_marginal_entropy"]
            signs += diagnose_labels(predicted, self._label_names(), known, "estimator")
        for sign, advice in signs:
            if sign not in self._warned:
                warnings.warn(advice, CollapseWarning, stacklevel=2)
        self._warned |= {sign for sign, _ in signs}

    def _label_names(self) -> list[Any]:
        """What the categories of q(y|x) are called."""
        classes = list(getattr(self, "classes_", ()))
        return classes or list(range(self.model_.latent("label").prior.dim))

    def _phases(
        self, model: AdversarialAutoencoder, classify: bool, settings: TrainingSettings, start_weight: Weight
    ) -> list[Phase]:
        """Create the phases, with the optimizers that estimators use and the changes that `optimizers` names."""
        losses = settings.losses
        phases = adversarial_phases(
            model, settings.reduction, classify=classify, start_weight=start_weight, losses=losses
        )
        # A call without labels has no classification, which another has.
        every = adversarial_phases(model, classify=bool(self._num_classes), losses=losses)
        usual = usual_optimizers(self._learning_rate, self.learning_rate_decay, settings)
        return with_optimizers(phases, usual, self.optimizers, [phase.name for phase in every])

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
            batch_size=self._batch_size,
            seed=seed,
            precision=self.precision,
            losses=losses,
            **joint,
        )


class AdversarialTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AdversarialEstimator):  # type: ignore[misc]
    """Base of the estimators whose `transform` gives as many columns as the style has dimensions."""

    def transform(self, X: ArrayLike) -> Rows:
        """Map rows (n_samples, n_features) to style codes (n_samples, latent_dim): what a label does not say."""
        styles: Rows = self._codes(self._rows(X))["style"].cpu().numpy()
        return styles

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent("style").prior.dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _note_step(progress: Progress | None) -> bool:
    """Show that a step is done; never asks to stop."""
    if progress is not None:
        progress.step()
    return False
