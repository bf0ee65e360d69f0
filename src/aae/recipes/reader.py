"""Reading, overriding and writing recipes (TOML)."""

from __future__ import annotations

import copy
import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aae.errors import InputError, note
from aae.recipes.files import Table, names, read_table, without_replaced
from aae.recipes.schema import Recipe, RecipeTrainingSettings
from aae.training.settings import OptimizerSettings

Override: TypeAlias = str | tuple[str, Any]
"""``section.key=value``, the value in TOML notation (bare words are taken as strings); or the key with its value."""
RENAMED = {
    "apart": "margin",
    "init_sd": "init_std",
    "radial_sd": "radial_std",
    "rate": "learning_rate",
    "sd": "std",
    "tangential_sd": "tangential_std",
    "warm_start": "moment_matching_epochs",
}
"""What keys were called in version 0.1: they are read, and a note says what they are called now."""
SYNONYMS = RENAMED | {
    "class_prior": "probabilities",
    "cluster_prior": "probabilities",
    "head_distance": "margin",
    "hidden_layer_sizes": "hidden",
    "latent_dim": "dim",
    "lr": "learning_rate",
    "n_clusters": "categories",
    "n_components": "dim",
    "n_iter_no_change": "patience",
    "random_state": "seed",
    "tol": "tolerance",
    "validation_fraction": "validation",
}
"""What keys are called by estimators and other libraries: messages name the key that is meant."""


def read(source: str | Path, overrides: Iterable[Override] = ()) -> Recipe:
    """Read a recipe by name or from a TOML file.

    Parameters
    ----------
    source : str or Path
        Name of a recipe of the package, or path of a ``.toml`` file.
    overrides : iterable of str, or of (str, value)
        ``section.key=value`` assignments, the value in TOML notation (bare words are taken as strings); or the key with its
        value.

    Returns
    -------
    Recipe
        Complete and checked.

    Raises
    ------
    InputError
        If there is no such recipe or file, it is no TOML, a key is unknown, or a value is out of range.
    """
    return _changed(read_table(source), overrides, where=f"recipe {source}")


def check(table: Table, where: str) -> Recipe:
    """Turn a table into a recipe; `where` opens the message of the InputError for a bad one."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        renamed = _renamed(table, error.errors(), where)
        if renamed is None:
            raise InputError(f"{where}: {_explain(error.errors())}") from None
    return check(renamed, where)


def _renamed(table: Table, errors: list[ErrorDetails], where: str) -> Table | None:
    """Give keys of version 0.1 that are unknown their names of today, and say so; None where there are none."""
    renamed, told = copy.deepcopy(table), []
    for error in errors:
        if not _is_unknown(error):
            continue
        (*sections, last), models = _place(error["loc"])
        name = RENAMED.get(last, "")
        if not any(name in model.model_fields for model in models):
            continue
        inner = renamed
        for section in sections:
            inner = inner[section]
        inner[name] = inner.pop(last)
        told.append(f"{'.'.join([*sections, last])} is {name}")
    if not told:
        return None
    note(f"{where}: read with the names that keys have now: {', '.join(told)}")
    return renamed


def _is_unknown(error: ErrorDetails) -> bool:
    """Check whether an error is about a key that there is not; other keys of [training] are phases, which are tables."""
    path, models = _place(error["loc"])
    no_phase = models == [RecipeTrainingSettings] and path[-1] not in RecipeTrainingSettings.model_fields
    return error["type"] == "extra_forbidden" or no_phase


def change(recipe: Recipe, overrides: Iterable[Override]) -> Recipe:
    """Create a recipe that differs from another in some keys, given and checked as by `read`."""
    return _changed(given(recipe), overrides, where=f"recipe {recipe.name}")


def _changed(table: Table, overrides: Iterable[Override], where: str) -> Recipe:
    for override in overrides:
        key, value = _parse(override) if isinstance(override, str) else override
        _assign(table, key, value)
    return check(table, where)


def given(recipe: Recipe) -> Table:
    """Return what a recipe says itself, without defaults, as plain tables; `check` makes the same recipe of it."""
    table: Table = _plain(recipe.model_dump(mode="python", exclude_none=True, exclude_unset=True))
    return table


def differences(recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Compare a recipe with that of its name in the package.

    Returns
    -------
    dict
        From dotted key to its value in `recipe` and in the package, None where there is none; empty if the package has no
        recipe of that name. The seed is left out.
    """
    if recipe.name not in names():
        return {}
    here, there = _flat(recipe), _flat(read(recipe.name))
    keys = [key for key in dict.fromkeys([*there, *here]) if key != "training.seed"]
    return {key: (here.get(key), there.get(key)) for key in keys if here.get(key) != there.get(key)}


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Return all settings of a recipe by their dotted keys, without those of its own description."""
    return flatten(
        recipe.model_dump(mode="json", include={"data", "model", "training", "evaluation"}, exclude_none=True)
    )


def flatten(table: Any, key: str = "") -> dict[str, Any]:
    """Return what a table holds by dotted keys."""
    if not isinstance(table, dict):
        return {key: table}
    return {k: v for name, part in table.items() for k, v in flatten(part, f"{key}.{name}" if key else name).items()}


def dump(recipe: Recipe) -> str:
    """Write a recipe as TOML, complete with all defaults."""
    return tomli_w.dumps(_plain(recipe.model_dump(mode="python", exclude_none=True)))


def _parse(override: str) -> tuple[str, Any]:
    """Read ``section.key=value``."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"setting {override!r}: expected section.key=value, as in --set training.epochs=10")
    key, value = key.strip(), read_value(text)
    if value == text.strip() and "," in value and key in _lists():  # bare words, as in a shell
        value = [read_value(one) for one in value.split(",")]
    return key, value


def read_value(text: str) -> Any:
    """Read a value in TOML notation; what is none, or more than one, is text."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (RecursionError, ValueError):
        found = {}
    return found["value"] if len(found) == 1 else text.strip()


def _assign(table: Table, key: str, value: Any) -> None:
    """Put a value into a table, with the tables on the way to it."""
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise InputError(f"{key} = {value!r}: {section!r} is a value, not a section")
    if sections and last in ("kind", "module", "optimizer"):
        for other in table.keys() - without_replaced(table, {last: value}).keys():
            del table[other]
    table[last] = value


def _explain(errors: list[ErrorDetails]) -> str:
    """Return in one line what pydantic found wrong first; a union has errors from each member, the deepest count."""
    first, *_ = _place(errors[0]["loc"])
    at_first = [error for error in errors if _place(error["loc"])[0][: len(first)] == first]
    deepest = max(at_first, key=lambda error: len(_place(error["loc"])[0]))
    path, models = _place(deepest["loc"])
    key = ".".join(path)
    if _is_unknown(deepest):
        known = sorted({name for model in models for name in model.model_fields})
        last = SYNONYMS.get(path[-1], path[-1])
        near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
        elsewhere = _places(last) or ([] if near else _places(last, cutoff=0.8))
        if key in elsewhere or (last != path[-1] and last in known):  # another kind has it, or it is right here
            elsewhere = []
        if elsewhere and (len(elsewhere) == 1 or not near):
            hint = f"did you mean {' or '.join(map(repr, elsewhere))}?"
            if len(path) == 1:  # as a program may have given it
                hint += f" As a keyword: {elsewhere[0].replace('.', '__')}"
        else:
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
        return f"unknown key {key!r}; {hint}"
    if deepest["type"] == "missing":
        return f"key {key!r} is missing"
    if deepest["type"] == "union_tag_not_found":
        return f"key '{key}.kind' is missing"
    if deepest["type"] == "union_tag_invalid":
        return f"{key}.kind is {deepest['ctx']['tag']!r}; expected one of: {deepest['ctx']['expected_tags']}"
    if deepest["type"] == "value_error":  # of the schema's own validators, which name what they found
        message = deepest["msg"].removeprefix("Value error, ")
        return message if not key or message.startswith((f"{key}.", f"{key} ")) else f"{key} {message}"
    messages = {_expectation(error): None for error in at_first if _place(error["loc"])[0] == path}
    return f"{key} is {deepest['input']!r}; expected {' or '.join(messages)}"


def _expectation(error: ErrorDetails) -> str:
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "a table of keys"
    message = re.sub(r", (unable to parse|got a number) .*", "", error["msg"])
    expected = message.removeprefix("Input should be ")
    return re.sub(r"^(greater|less) than", r"a value \1 than", expected)


def _place(location: tuple[int | str, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """Find the plain key of an error, without what pydantic calls the members of a union, and the settings it stands in."""
    path: list[str] = []
    models: list[type[BaseModel]] = []
    inner: list[type[BaseModel]] = [Recipe]
    for part in location:
        if _of_kind(part, inner):  # the tag of a union
            inner = _of_kind(part, inner)
        elif inner:
            path.append(str(part))
            fields = [model.model_fields[part] for model in inner if part in model.model_fields]
            phase = not fields and RecipeTrainingSettings in inner  # its other keys are names of phases
            below = [OptimizerSettings] if phase else [model for field in fields for model in _models(field.annotation)]
            models, inner = inner, list[type[BaseModel]](below)
        elif str(part) not in ("constrained-int", "constrained-float") and "[" not in str(part):  # inside a plain value
            path.append(str(part))
    return path, models


def _of_kind(kind: int | str, models: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """Find the settings whose field `kind` has this value."""
    return [m for m in models if "kind" in m.model_fields and kind in get_args(m.model_fields["kind"].annotation)]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the settings classes inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


@cache
def _keys() -> tuple[tuple[str, Any], ...]:
    """List all keys of recipes by their dotted path, with what they hold; those of a phase stand under ``<phase>``."""

    def walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, field in model.model_fields.items():
            yield f"{prefix}{name}", field.annotation
            for inner in _models(field.annotation):
                yield from walk(inner, f"{prefix}{name}.")
        if model is RecipeTrainingSettings:
            yield from walk(OptimizerSettings, f"{prefix}<phase>.")

    return tuple(dict(walk(Recipe, "")).items())


def _places(name: str, cutoff: float = 1.0) -> list[str]:
    """Find the keys that are called so, or nearly so, in any section."""
    lasts = {place: place.rpartition(".")[2] for place, _ in _keys() if not place.startswith("short.")}
    near = difflib.get_close_matches(name, set(lasts.values()), n=1, cutoff=cutoff)
    return [place for place, last in lasts.items() if last in near]


@cache
def _lists() -> frozenset[str]:
    """List the keys that can hold a list."""
    return frozenset(key for key, annotation in _keys() if _holds_list(annotation))


def _holds_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(
        _holds_list(one) for one in get_args(annotation) if get_origin(annotation) is not dict
    )


def _plain(value: Any) -> Any:
    """Turn a dumped recipe into what TOML can hold."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value
