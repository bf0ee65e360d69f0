"""Recipe files as plain tables, each laid over the one that it extends; what is in them is checked by `reader`.

Nothing here needs torch, so that a list of recipes does not wait for it.
"""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from aae.errors import InputError, unknown
from aae.training.settings import TrainingSettings

Table = dict[str, Any]
MAX_RECIPE = 2**24  # bytes of a recipe, which may list the columns of a wide table


def names() -> list[str]:
    """List the names of the recipes that come with the package, sorted."""
    folder = resources.files(__package__)
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def overview() -> list[Table]:
    """List the recipes that come with the package: ``name``, ``title``, ``reference``, ``source``, ``cost`` and ``paper``."""
    tables = [read_table(name) for name in names()]
    return [
        {
            **{key: table.get(key, "") for key in ("name", "title", "reference", "cost")},
            "source": table["data"]["source"],
            "paper": table.get("paper", {}),
        }
        for table in tables
    ]


def read_table(source: str | Path, seen: tuple[str, ...] = ()) -> Table:
    """Read the table of a recipe and lay it over the one it extends; InputError where there is none, or it is no TOML."""
    path = Path(source)
    if path.suffix == ".toml":
        if not path.is_file():
            raise InputError(f"{path}: no such recipe file")
        from aae.files import read_text  # which needs torch

        text, name = read_text(path, MAX_RECIPE, "a recipe"), path.stem
    else:
        name = str(source)
        if name not in names():
            raise unknown("recipe", name, names())
        text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {source}: not valid TOML: {error}") from None
    except (RecursionError, ValueError):  # a number of thousands of digits is one too
        raise InputError(f"recipe {source}: not valid TOML: found more than a recipe can hold") from None
    table.setdefault("name", name)
    if path.suffix == ".toml":
        _find_beside(path, _part(table, "data"))
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise InputError(f"recipe {source}: extends is {base!r}; expected the name of a recipe or a .toml file")
    if base.endswith(".toml"):
        base = str(path.parent / base)  # beside the file that extends it
    seen = (*seen, _identity(source))
    if _identity(base) in seen:
        raise InputError(f"recipe {source}: extends itself through {base!r}")
    base_table = read_table(base, seen)
    for numbers in ("paper", "paper_curves"):  # those of another row are never inherited
        base_table.pop(numbers, None)
    if _has_other_phases(base_table, table):
        training = _part(base_table, "training")
        for name in training.keys() - {
            *TrainingSettings.model_fields,
            "phases",
            "min_steps",
            "start_labels",
            "start_partition",
        }:
            del training[name]  # the optimizer of a phase that may not run
    return _merge(base_table, table)


def _identity(source: str | Path) -> str:
    """Return what is the same for a recipe by whatever path."""
    return str(Path(source).resolve()) if Path(source).suffix == ".toml" else str(source)


def _find_beside(path: Path, data: Table) -> None:
    """Take the paths in the table of the data from beside the recipe file at `path`, where they lie there."""
    for key in ("source", "labels_file"):
        value = data.get(key)
        if isinstance(value, str) and value and os.path.lexists(beside := path.parent / value):
            from aae.data import NAMES  # which needs torch

            if value not in NAMES:
                data[key] = str(beside)


def _has_other_phases(base: Table, over: Table) -> bool:
    """Check whether other phases run in a recipe than in the one below it: those of another method or of other losses."""
    method = _part(over, "model").get("method")
    if method is not None and method != _part(base, "model").get("method", "aae"):
        return True
    below, above = (_part(_part(table, "training"), "losses") for table in (base, over))
    return _phases_of_losses(below) != _phases_of_losses(_merge(below, above))


def _phases_of_losses(losses: Table) -> tuple[Any, ...]:
    """Return what of the losses decides which phases there are, and no weight or radius."""
    joint = losses.get("joint", False)
    own = ("clustering", "reconstruction") if joint else ("consistency", "information")
    return joint, _part(losses, "matching").get("objective"), *(name in losses for name in own)


def _part(table: Table, key: str) -> Table:
    """Return the table under a key; an empty one where there is none, or what is no table and will be refused."""
    part = table.get(key)
    return part if isinstance(part, dict) else {}


def _merge(base: Table, over: Table) -> Table:
    """Lay `over` on `base`, table by table (but see `without_replaced`); a schedule of learning rates replaces the one below."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = value
        if isinstance(value, dict) and isinstance(below, dict) and not is_schedule(value):
            merged[key] = _merge(without_replaced(below, value), value)
    return merged


def is_schedule(value: Any) -> bool:
    """Check whether a value is a table from epochs to numbers, which is replaced as a whole."""
    return isinstance(value, dict) and bool(value) and all(str(key).isdecimal() for key in value)


def without_replaced(below: Table, over: Table) -> Table:
    """Return what can stay of a table below another: of another `kind`, `module` or `optimizer` most keys cannot."""
    if over.get("kind", below.get("kind")) != below.get("kind"):
        return {}
    if over.get("module", below.get("module")) != below.get("module"):
        return {key: value for key, value in below.items() if key == "kind"}
    if over.get("optimizer", below.get("optimizer")) != below.get("optimizer"):
        return {key: value for key, value in below.items() if key == "learning_rate"}
    return below
