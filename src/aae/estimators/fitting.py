"""What surrounds the fitting of an estimator: all or nothing, Ctrl-C, and parameters that changed since the last time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from torch import nn

from aae.device import usual_state
from aae.errors import CallbackError, InputError
from aae.scaling import Scaling
from aae.training.signals import interrupts

Fit = TypeVar("Fit", bound=Callable[..., Any])
LONG = 200  # characters

# What a fitted model is made of: training that goes on cannot change it.
ARCHITECTURE = (
    *("latent_dim", "n_components", "n_clusters", "posterior", "hidden_layer_sizes", "discriminator_layer_sizes"),
    *(
        "batch_norm",
        "scaling",
        "output",
        "random_state",
        "encoder",
        "decoder",
        "discriminator",
        "image_shape",
        "label_informed",
        "missing",
        "columns",
        "handle_unknown",
        "head_distance",
        "init",
    ),
)


def fitting(fit: Fit) -> Fit:
    """Leave an estimator as it was if its fitting fails, and let the first Ctrl-C end it with what was learnt so far."""

    @functools.wraps(fit)
    def fit_or_restore(self: Any, *args: Any, **options: Any) -> Any:
        before = dict(vars(self))
        try:
            with usual_state(), interrupts(("SIGINT",)) as self._interrupted:
                fitted = fit(self, *args, **options)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        finally:
            vars(self).pop("_interrupted", None)
            vars(self).pop("_observed", None)
            vars(self).pop("_counted", None)
            vars(self).pop("_given_rows", None)
            failure = vars(self).pop("_failure", None)
        if failure is not None:
            kept = f"the estimator keeps what was learnt in {self.n_iter_} epochs"
            raise CallbackError(f"{failure}; {kept}") from failure.__cause__
        return fitted

    return cast("Fit", fit_or_restore)


def architecture(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Note the parameters that a fitted model keeps."""
    return {name: _plain(parameters[name]) for name in ARCHITECTURE if name in parameters}


def refuse_changes(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Check that training goes on with the parameters that the model was made with.

    Raises
    ------
    InputError
        If one has changed, naming it.
    """
    name = first_change(before, parameters)
    if name is not None:
        value = architecture(parameters)[name]
        found = f"is {value!r}, and the model that training goes on with has {before[name]!r}"
        if len(found) > LONG:
            found = "is another one than the model that training goes on with has"
        raise InputError(f"{name} {found}; expected the same, or a new fit with warm_start=False")


def first_change(before: Mapping[str, Any], parameters: Mapping[str, Any]) -> str | None:
    """Find the first of the parameters that is another than the fitted model was made with; None where none is."""
    now = architecture(parameters)
    known = (name for name in now if name in before)
    return next((name for name in known if now[name] is not before[name] and now[name] != before[name]), None)


def _plain(value: Any) -> Any:
    """Bring lists, tuples and arrays of numbers, modules and scalings to one form that can be compared."""
    if isinstance(value, Scaling):
        return {name: tensor.tolist() for name, tensor in value.state_dict().items()}
    if isinstance(value, nn.Module):
        return repr(value)
    return (
        np.asarray(value).tolist() if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) else value
    )


def layer_sizes(name: str, sizes: Any) -> list[int]:
    """Check the sizes of hidden layers: InputError unless they are whole numbers, 1 or larger."""
    widths = np.asarray(sizes)
    if widths.ndim != 1 or not len(widths) or widths.dtype.kind not in "iu" or widths.min() < 1:
        raise InputError(f"{name} is {sizes!r}; expected a sequence of whole numbers, each 1 or larger")
    return [int(width) for width in widths]
