"""The recipe of a run: read, pointed at other data, and as the command that trains it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aae import recipes
from aae.data import NAMES
from aae.data.memory import SOURCE
from aae.data.reading import as_text, local_path
from aae.errors import InputError, note
from aae.recipes import Recipe, reader
from aae.runs.resume import shaping


def read_recipe(
    recipe: str | Path | Recipe, overrides: Sequence[str | tuple[str, Any]] = (), data: str | None = None
) -> Recipe:
    """Read a recipe, optionally pointed at other data.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name of a recipe, a ``.toml`` file, or a recipe that was read, of which a changed copy is made.
    overrides : sequence of str, or of (str, value)
        ``section.key=value``, or the key with its value; they win over everything else.
    data : str, optional
        Named data set or path. What fits the recipe's own data alone is replaced, unless the recipe was read already: the
        validation split becomes 15 %, and a number of labels becomes all that the rows of a path have.

    Returns
    -------
    Recipe
        Complete and checked. On other data than its own its title says so, and is without the paper's numbers.

    Raises
    ------
    InputError
        As `recipes.read`.
    """
    if data == "":  # which would be the present folder
        raise InputError("data is ''; expected a named data set or a path")
    data = data and as_text(data)
    overrides = [as_text(one) if isinstance(one, str) else one for one in overrides]
    own = recipe if isinstance(recipe, Recipe) else recipes.read(recipe)
    fitted: list[str | tuple[str, Any]] = []
    if data is not None and data != own.data.source:
        fitted = [("data.source", data), *([] if isinstance(recipe, Recipe) else _fitted(own, data))]
    changes = [*fitted, *overrides]
    keys = {one.partition("=")[0].strip() if isinstance(one, str) else one[0] for one in overrides}
    if "training.epochs" in keys and "training.min_steps" not in keys and own.training.min_steps:
        changes.append(("training.min_steps", 0))  # so many epochs are meant
    found = reader.change(recipe, changes) if isinstance(recipe, Recipe) else recipes.read(recipe, changes)
    if found.data.source != own.data.source:
        name = "rows from Python" if found.data.source == SOURCE else Path(found.data.source).name
        found = found.model_copy(update={"title": f"{name}, as in: {own.title}", "paper": {}, "paper_curves": {}})
    for key in ("model.encoder.input_noise", "model.encoder.input_dropout"):
        if key in keys and not found.training.losses.corrupts and getattr(found.model.encoder, key.rpartition(".")[2]):
            note(
                f"{key} has no effect, as the losses of this recipe are those of rows as they are; training.losses.joint=false "
                "has some of corrupted rows"
            )
    return _with_full_paths(found)


def _fitted(own: Recipe, data: str) -> list[tuple[str, Any]]:
    """List what has to change in a recipe for other data, beside their source."""
    labels = [] if data in NAMES or own.data.labels is None else [("data.labels", "all")]
    return [("data.validation", 0.15 if own.data.validation else 0), *labels]


def _with_full_paths(recipe: Recipe) -> Recipe:
    """Make the paths of a recipe absolute where they exist: a run is used from other folders too."""
    given = {"source": recipe.data.source, "labels_file": recipe.data.labels_file}
    full = {key: full_path(value) for key, value in given.items() if value is not None}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=full)})


def full_path(source: str) -> str:
    """Return the absolute path of data that exists; anything else, such as the name of a data set, as it is."""
    if source in NAMES or not (path := local_path(source)).exists():
        return source
    return as_text(str(path.absolute()))


def command(recipe: Recipe, own: str = "recipe.toml") -> str:
    """Write the command that trains this very recipe, a file of one's own where no name stands for it."""
    if recipe.name not in recipes.names():
        return shlex.join(["aae", "train", own])
    source = recipe.data.source
    base = read_recipe(recipe.name, data=source)
    before, now = shaping(base), shaping(recipe)
    changed = [f"{key}={_inline(value)}" for key, value in now.items() if value != before.get(key)]
    if shaping(read_recipe(recipe.name, changed, source)) != now:  # a file of one's own that has the same name
        return shlex.join(["aae", "train", own])
    data = ["--data", source] if source != recipes.read(recipe.name).data.source else []
    return shlex.join(["aae", "train", recipe.name, *data, *(word for change in changed for word in ("--set", change))])


def _inline(value: Any) -> str:
    """Write a value as TOML on one line."""
    if isinstance(value, dict):
        keys = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", str(key)) else json.dumps(key) for key in value}
        return "{ " + ", ".join(f"{keys[key]} = {_inline(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)
