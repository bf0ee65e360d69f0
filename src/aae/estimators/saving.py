"""Fitted estimators on disk: safetensors and JSON, from which nothing is executed."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from aae import priors
from aae._version import __version__
from aae.data.columns import Columns
from aae.data.frames import is_frame
from aae.errors import InputError, reason
from aae.estimators.fitting import architecture, first_change
from aae.estimators.use import FittedModel
from aae.files import check_finite_tensors, new_folder, read_object, read_tensors, write_json, write_tensors
from aae.priors import Prior
from aae.recipes.model_settings import ModelSettings
from aae.scaling import Scaling
from aae.training.weights import load_module

RECORD, WEIGHTS = "estimator.json", "model.safetensors"
PLAIN = (bool, int, str, type(None))
REMADE = ("model_", "_made_with")
FLOATS = {"float32": np.float32, "float64": np.float64}


class SavedModel(FittedModel):
    """Base of the estimators: what is written of them, once they are fitted, and read again."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the model from the CPU, so that it can be loaded on a machine without an accelerator."""
        state: dict[str, Any] = super().__getstate__()
        if "model_" in state and self._device.type != "cpu":
            state = {**state, "model_": copy.deepcopy(self.model_).cpu()}
        return state

    def save(self, folder: str | Path) -> Path:
        """Write the fitted estimator into a new folder, as safetensors and JSON; nothing is pickled.

        Parameters
        ----------
        folder : str or Path
            A new or empty folder; parents are created.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder holds something already or cannot be written, or an attribute cannot be kept without code.
        """
        check_is_fitted(self)
        return _save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, **parameters: Any) -> Self:
        """Read an estimator that `save` wrote; nothing in the folder is executed.

        Parameters
        ----------
        folder : str or Path
            The folder.
        **parameters
            Parameters in place of those that were saved: those that are functions, such as a `prior`, have to be given.

        Returns
        -------
        estimator
            Fitted, on the CPU.

        Raises
        ------
        InputError
            If the folder holds no such estimator, its files are damaged, or a parameter is missing or unknown.
        """
        estimator: Self = _load(cls, Path(folder), parameters)
        return estimator

    def export(self, folder: str | Path) -> list[Path]:
        """Write encoder, decoder, classifier and anomaly score, those that there are, as ONNX files for unscaled rows.

        Parameters
        ----------
        folder : str or Path
            A new or empty folder; parents are created. Needs the extra ``export``.

        Returns
        -------
        list of Path
            The files; `aae.onnx` says what each takes and gives. The probabilities follow ``class_names`` in their metadata.

        Raises
        ------
        InputError
            If the extra is missing, or the folder holds something already or cannot be written.
        """
        from aae.onnx import Exported, write_onnx

        check_is_fitted(self)
        known = list(getattr(self, "classes_", ()))
        categories = self.model_.label_head.num_labels if self.model_.classifies else 0
        names = [str(name) for name in (known if len(known) >= categories else range(categories))]
        dtype = np.dtype(self._decodes_to).name
        title = {"estimator": type(self).__name__}
        score = getattr(self, "_anomaly_score", None)
        shape, scaling = (self._stored_columns,), copy.deepcopy(self.scaler_)
        if hasattr(self, "missing_fill_"):  # what stands in for a missing value is a part of the graphs
            scaling.fill = torch.from_numpy(self.missing_fill_).to(scaling.offset)
        decides = hasattr(self, "decision_function")
        exported = Exported(self.model_, scaling, shape, dtype, names, title, score, self.columns_, decides)
        return write_onnx(exported, folder)


def _save(estimator: Any, folder: Path) -> Path:
    tensors = {f"model.{name}": tensor for name, tensor in estimator.model_.state_dict().items()}
    packer = _Packer(tensors)
    given, kept = estimator.get_params(deep=False), vars(estimator)
    code = sorted(name for name, value in given.items() if _is_code(value))
    record = {
        "estimator": type(estimator).__name__,
        "version": __version__,
        "parameters": {
            name: packer.pack(None if name == "callbacks" else value, name)  # which are for one training
            for name, value in given.items()
            if name not in code
        },
        "code": code,
        "attributes": {
            name: packer.pack(value, "the name of a column" if name == "_frame" else name)
            for name, value in kept.items()
            if name not in (*given, *REMADE)
        },
    }
    with new_folder(folder) as draft:
        write_tensors(draft / WEIGHTS, tensors)
        write_json(draft / RECORD, record)
    return folder


def _load(cls: type[Any], folder: Path, parameters: dict[str, Any]) -> Any:
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder}: holds no {RECORD}; expected a folder that {cls.__name__}.save wrote")
    record = read_object(folder / RECORD)
    if record.get("estimator") != cls.__name__:
        raise InputError(f"{folder}: holds an estimator {record.get('estimator')!r}; expected {cls.__name__!r}")
    tensors = read_tensors(folder / WEIGHTS)
    check_finite_tensors({n: t for n, t in tensors.items() if n.startswith("model.")}, folder / WEIGHTS)
    unknown = parameters.keys() - cls._get_param_names()
    if unknown:
        raise InputError(f"{cls.__name__}.load: unknown parameter {min(unknown)!r}")
    try:
        missing = [name for name in record["code"] if name not in parameters]
        if missing:
            raise InputError(
                f"{folder}: {missing[0]} was a function or module, which is not kept; expected "
                f"{cls.__name__}.load(..., {missing[0]}=...)"
            )
        own = {name: _unpack(value, tensors) for name, value in record["parameters"].items()}
        estimator = cls(**{**own, **parameters})
        estimator._made_with = architecture({**parameters, **own})
        changed = first_change(architecture(own), parameters)
        if changed is not None:
            raise InputError(
                f"{changed} is {parameters[changed]!r}; the saved model has {own[changed]!r}, expected the same"
            )
        for name, value in record["attributes"].items():
            if callable(getattr(cls, name, None)):
                raise ValueError(f"{name} is no attribute")
            setattr(estimator, name, _unpack(value, tensors))
        if not isinstance(estimator.scaler_, Scaling):
            raise TypeError("scaler_ is no scaling")
        settings = ModelSettings.model_validate_json(estimator._built_from)
        model = estimator._make(settings, estimator._inputs, estimator._seed)
        estimator._set_changeable(model)
        load_module(model, {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    except InputError as error:
        raise InputError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from None
    except (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: not an estimator of this version ({reason(error)})") from None
    estimator.model_ = model.eval()
    return estimator


def _is_code(value: Any) -> bool:
    """Check whether a parameter is made of code: a function, a module, or a prior that is not of the package."""
    own_prior = isinstance(value, Prior) and (
        type(value).__module__ != priors.__name__ or isinstance(value, priors.FromSampler)
    )
    return (
        own_prior
        or (callable(value) and not isinstance(value, Scaling))
        or (isinstance(value, nn.Module) and not isinstance(value, Scaling))
    )


class _Packer:
    """From values to what JSON can hold, with arrays among the tensors; anything else is an InputError."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def pack(self, value: Any, name: str) -> Any:
        """Pack a value that is called `name`; InputError for one that takes code to make again."""
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            return value
        if isinstance(value, float) and type(value) is float:
            return value if np.isfinite(value) else {"float": repr(value)}
        if isinstance(value, list):
            return [self.pack(one, f"{name}.{k}") for k, one in enumerate(value)]
        if isinstance(value, tuple):
            return {"tuple": [self.pack(one, f"{name}.{k}") for k, one in enumerate(value)]}
        if isinstance(value, frozenset | set):
            return {"set": [self.pack(one, name) for one in sorted(value, key=repr)]}
        if isinstance(value, dict):
            return {"dict": [[self.pack(key, name), self.pack(one, f"{name}.{key}")] for key, one in value.items()]}
        if isinstance(value, Tensor):
            self.tensors[name] = value
            return {"tensor": name}
        if isinstance(value, np.generic):
            return {"scalar": self.pack(value.item(), name), "dtype": value.dtype.str}
        if isinstance(value, np.ndarray):
            return self._array(value, name)
        if hasattr(value, "to_numpy") and hasattr(value, "__len__") and not is_frame(value):  # a column of a data frame
            return self._array(np.asarray(value), name)
        if isinstance(value, type) and value in FLOATS.values():
            return {"type": value.__name__}
        if isinstance(value, Scaling):
            numbers = {part: self.pack(one, f"{name}.{part}") for part, one in value.state_dict().items()}
            rest = {key: self.pack(getattr(value, key), f"{name}.{key}") for key in _SCALING}
            return {"scaling": numbers, "kind": value.kind, "rest": rest}
        if isinstance(value, Columns):
            return {"columns": value.record()}
        if isinstance(value, Prior) and not _is_code(value):
            names = inspect.signature(type(value).__init__).parameters
            made = {key: self.pack(getattr(value, key), f"{name}.{key}") for key in names if key != "self"}
            return {"prior": type(value).__name__, "arguments": made}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self.pack(value.get_state(), name)}
        raise InputError(f"{name} is of type {type(value).__name__}; it cannot be saved without code")

    def _array(self, values: Any, name: str) -> Any:
        if values.dtype.kind in "OUS":
            return {"array": self.pack(values.tolist(), name), "dtype": values.dtype.str}
        data = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self.tensors[name] = torch.from_numpy(data.reshape(-1).view(np.uint8).copy())
        return {"bytes": name, "dtype": data.dtype.str, "shape": list(values.shape)}


_SCALING = ("low", "high", "spread", "needs_float64")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Bring back what `_Packer` packed; KeyError, TypeError or ValueError where it did not."""
    if isinstance(value, list):
        return [_unpack(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    kind = next(iter(value))
    inner = value[kind]
    if kind == "float":
        return float(inner)
    if kind == "tuple":
        return tuple(_unpack(one, tensors) for one in inner)
    if kind == "set":
        return frozenset(_unpack(one, tensors) for one in inner)
    if kind == "dict":
        return {_unpack(key, tensors): _unpack(one, tensors) for key, one in inner}
    if kind == "tensor":
        return tensors[inner]
    if kind == "scalar":
        return np.dtype(value["dtype"]).type(_unpack(inner, tensors))
    if kind == "array":
        return np.array(_unpack(inner, tensors), dtype=np.dtype(value["dtype"]))
    if kind == "bytes" and np.dtype(value["dtype"]).kind in "buifMm":
        return tensors[inner].numpy().view(np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    if kind == "type":
        return FLOATS[inner]
    if kind == "scaling":
        scaling = Scaling.from_tensors({part: _unpack(one, tensors) for part, one in inner.items()}, value["kind"])
        for key in _SCALING:
            setattr(scaling, key, _unpack(value["rest"][key], tensors))
        return scaling
    if kind == "columns":
        return Columns.from_record(inner)
    if kind == "prior":
        known = {name: one for name, one in vars(priors).items() if isinstance(one, type) and issubclass(one, Prior)}
        return known[inner](**{key: _unpack(one, tensors) for key, one in value["arguments"].items()})
    if kind == "random_state":
        state = np.random.RandomState()
        state.set_state(_unpack(inner, tensors))
        return state
    raise ValueError(f"found a value of the kind {kind!r}")
