"""Custom modules: code of the user's that a recipe names as ``module:attribute``.

A recipe that names some is a program: whoever trains it, or loads a run of it, imports those modules and calls what is in them.
Training does so, because the recipe is the user's own; `Run.load` does so only if the modules are said to be trusted.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import operator
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from aae.errors import InputError, reason
from aae.model import Model
from aae.networks import takes_noise
from aae.noise import Noise, seeded
from aae.priors import FromSampler, Prior
from aae.training.phases import Phase

if TYPE_CHECKING:
    from aae.recipes.model_settings import ModelSettings, NetworkSettings


def named_in(model: ModelSettings) -> list[str]:
    """List the custom modules of a model as its recipe names them, each once."""
    sections = [model.encoder, model.decoder, model.discriminator, model.style.prior if model.style else None]
    names = [getattr(section, "module", None) for section in sections]
    return list(dict.fromkeys(name for name in names if name is not None))


def network(
    settings: NetworkSettings, key: str, inputs: int, outputs: int | None, noise: Noise, **sizes: Any
) -> tuple[nn.Module, int]:
    """Create a network of the user's, and try it on two rows of zeros.

    Parameters
    ----------
    settings : NetworkSettings
        With `module` and `arguments`.
    key : str
        Section of the recipe, such as ``"model.encoder"``; opens every message.
    inputs : int
        Width of what it gets, (batch, inputs).
    outputs : int, optional
        Width of what it has to give; any, if not given.
    noise : Noise
        Seeds torch while the network is made, so that its initial weights are those of the run's seed.
    **sizes
        What it may take by name, beside `inputs` and `outputs`.

    Returns
    -------
    tuple of torch.nn.Module and int
        The network, and the width of what it gives.

    Raises
    ------
    InputError
        If it cannot be imported, called or tried, is no module, or returns another shape.
    """
    assert settings.module is not None
    key = f"{key}.module"
    offered = {"inputs": inputs, **({} if outputs is None else {"outputs": outputs}), **sizes}
    with seeded(int(noise.integers(2**31))):
        made = _call(_find(settings.module, key), offered, settings.arguments, f"{key}: {settings.module}")
        if not isinstance(made, nn.Module):
            raise InputError(f"{key}: {settings.module} returned a {type(made).__name__}; expected a torch.nn.Module")
        return made, width(made, inputs, outputs, f"{key}: {settings.module}")


def prior(module: str, arguments: dict[str, Any], dim: int, num_classes: int) -> Prior:
    """Create a prior of the user's, and draw two codes from it.

    Parameters
    ----------
    module : str
        Names a function that samples (see `FromSampler`), or a subclass of `Prior`.
    arguments : dict
        What it is called with by name.
    dim : int
        Dimensions of the code.
    num_classes : int
        Number of labels for a prior that can be sampled per label; 0: none.

    Raises
    ------
    InputError
        If it cannot be imported, called or sampled, or returns another shape.
    """
    key = "model.style.prior.module"
    where = f"{key}: {module}"
    found = _find(module, key)
    labels = num_classes or None
    made: Prior | None = None
    if isinstance(found, type) and issubclass(found, Prior):
        made = _call(found, {"dim": dim, "num_labels": labels}, arguments, where)
    try:
        if made is None:
            inspect.signature(found).bind_partial(**arguments)  # fails with the name of one that is too many
            sampler = functools.partial(found, **arguments)
            made = FromSampler(sampler, dim, labels if "labels" in _parameters(sampler) else None)
        with seeded(0):
            codes = made.sample(2, None, Noise(0))
    except Exception as error:
        raise InputError(f"{where} cannot be sampled ({_reason(error)})") from error
    if tuple(codes.shape) != (2, dim) or made.dim != dim:
        raise InputError(
            f"{where} returned codes of shape {tuple(codes.shape)}; expected {(2, dim)}, as model.style.dim says"
        )
    return made


def phases(module: str, arguments: dict[str, Any], model: Model) -> list[Phase]:
    """Create the phases of a function of the user's.

    Parameters
    ----------
    module : str
        Names the function: it is called with the model, and returns a `Phase` or several.
    arguments : dict
        What it is called with by name, beside the model.
    model : Model
        The model that is trained.

    Raises
    ------
    InputError
        If it cannot be imported or called, or returns something else.
    """
    key = "training.phases"
    found = _find(module, key)
    try:
        made = found(model, **arguments)
    except Exception as error:
        raise InputError(
            f"{key}: {module} failed ({_reason(error)}); it is called with the model and its arguments"
        ) from error
    several = [made] if isinstance(made, Phase) else made
    if not isinstance(several, Sequence) or not several or not all(isinstance(one, Phase) for one in several):
        raise InputError(f"{key}: {module} returned a {type(made).__name__}; expected an aae.Phase, or a list of them")
    return list(several)


def _find(name: str, key: str) -> Callable[..., Any]:
    """Import ``module:attribute``. Modules are looked for where Python looks, and at last in the current folder."""
    module_name, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{key} is {name!r}; found no module {error.name!r}, expected one where Python looks or in the current folder"
            ) from None
        raise InputError(f"{key} is {name!r}; importing {module_name} failed ({_reason(error)})") from error
    try:
        found = operator.attrgetter(attribute)(module)
    except AttributeError:
        near = difflib.get_close_matches(attribute, vars(module), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ", expected a name that is in there"
        raise InputError(f"{key} is {name!r}; module {module_name} has no {attribute!r}{hint}") from None
    if not callable(found):
        raise InputError(f"{key} is {name!r}, which is a {type(found).__name__}; expected a class or a function")
    checked: Callable[..., Any] = found
    return checked


def _call(found: Callable[..., Any], offered: dict[str, Any], arguments: dict[str, Any], where: str) -> Any:
    """Call it with `arguments`, and of what is `offered` with that which it has parameters for."""
    accepted = _parameters(found)
    given = {**{name: value for name, value in offered.items() if name in accepted}, **arguments}
    try:
        return found(**given)
    except Exception as error:
        raise InputError(
            f"{where}({', '.join(given)}) failed ({_reason(error)}); it can have parameters {', '.join(offered)}, and others "
            "from arguments"
        ) from error


def width(module: nn.Module, inputs: int, outputs: int | None, where: str) -> int:
    """Check what a network gives for rows of zeros, two and three of them, and return its width; InputError for another shape."""
    module.eval()
    for size in (2, 3):  # what does not depend on the size of a batch fails later
        rows = torch.zeros(size, inputs, dtype=torch.float32)
        try:
            with torch.no_grad():
                given = module(rows, None) if takes_noise(module) else module(rows)
        except Exception as error:
            raise InputError(f"{where} fails on a batch of shape {(size, inputs)} ({_reason(error)})") from error
        shape = tuple(given.shape) if isinstance(given, Tensor) else None
        if shape is None or len(shape) != 2 or shape[0] != size or outputs not in (None, shape[1]):
            found = f"a {type(given).__name__}" if shape is None else f"shape {shape}"
            expected = f"({size}, {'features' if outputs is None else outputs})"
            raise InputError(
                f"{where} returned {found} for a batch of shape {(size, inputs)}; expected shape {expected}"
            )
        outputs = shape[1]
    module.train()
    assert outputs is not None
    return outputs


def _parameters(found: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(found).parameters)
    except (TypeError, ValueError):  # some built-in ones have no signature
        return set()


def _reason(error: Exception) -> str:
    """Return what went wrong on one line."""
    text = reason(error)
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
