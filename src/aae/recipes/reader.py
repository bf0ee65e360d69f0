"""Reading, overriding and writing recipes (TOML)."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aae.errors import InputError, unknown
from aae.recipes.schema import Recipe

Table = dict[str, Any]


def names() -> list[str]:
    """List the names of the recipes that come with the package, sorted."""
    folder = resources.files(__package__)
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read(source: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by name or from a TOML file.

    Parameters
    ----------
    source : str or Path
        Name of a recipe of the package, or path of a ``.toml`` file.
    overrides : iterable of str
        ``section.key=value`` assignments, the value in TOML notation (bare words are taken as strings).

    Returns
    -------
    Recipe
        Complete and checked.

    Raises
    ------
    InputError
        If there is no such recipe or file, it is no TOML, a key is unknown, or a value is out of range.
    """
    table = _table(source)
    for override in overrides:
        _assign(table, override)
    return check(table, where=f"recipe {source}")


def check(table: Table, where: str) -> Recipe:
    """Turn a table into a recipe; `where` opens the message of the InputError for a bad one."""
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error.errors()[0])}") from None


def dump(recipe: Recipe) -> str:
    """Write a recipe as TOML, complete with all defaults."""
    return tomli_w.dumps(_plain(recipe.model_dump(mode="python", exclude_none=True)))


def _table(source: str | Path, seen: tuple[str, ...] = ()) -> Table:
    """Read the table of a recipe and lay it over the one it extends."""
    path = Path(source)
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"{path}: no such recipe file")
        text, name = path.read_text(encoding="utf-8"), path.stem
    else:
        name = str(source)
        if name not in names():
            raise unknown("recipe", name, names())
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {source}: not valid TOML: {error}") from None
    table.setdefault("name", name)
    base = table.pop("extends", None)
    if base is None:
        return table
    if base in seen:
        raise InputError(f"recipe {source}: extends itself through {base!r}")
    base_table = _table(base, (*seen, name))
    base_table.pop("paper", None)  # another row's numbers are never inherited
    return _merge(base_table, table)


def _merge(base: Table, over: Table) -> Table:
    """Lay `over` on `base`, table by table; a table with another `kind` or a schedule replaces the one below."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = value
        if isinstance(value, dict) and isinstance(below, dict) and key != "rate":
            same_kind = value.get("kind", below.get("kind")) == below.get("kind")
            merged[key] = _merge(below, value) if same_kind else value
    return merged


def _assign(table: Table, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override!r}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override!r}: {section!r} is a value, not a section")
    table[last] = value


def _explain(error: ErrorDetails) -> str:
    """Say in one line what pydantic found wrong."""
    path = [str(part) for part in error["loc"] if str(part).isidentifier() or str(part).isdigit()]  # no union tags
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], list(_keys_beside(path)), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(sorted(_keys_beside(path)))}"
        return f"unknown key {key!r}; {hint}"
    if error["type"] == "missing":
        return f"key {key!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" or isinstance(error["input"], dict):
        return f"{key} {message}" if key else message
    return f"{key} is {error['input']!r}; {message[0].lower()}{message[1:]}"


def _keys_beside(path: list[str]) -> Iterator[str]:
    """List the keys that exist where the last part of `path` stands."""
    models: list[type[BaseModel]] = [Recipe]
    for part in path[:-1]:
        inner = [
            m for model in models if part in model.model_fields for m in _models(model.model_fields[part].annotation)
        ]
        models = inner or models  # a part may be the tag of a union
    for model in models:
        yield from model.model_fields


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Find the settings classes inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _plain(value: Any) -> Any:
    """Turn a dumped recipe into what TOML can hold."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value
