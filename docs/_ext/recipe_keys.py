"""The directives ``recipe-keys`` and ``recipe-list``: every key of a recipe, and every recipe, from the schema itself."""

import ast
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from aae import recipes
from aae.recipes import Recipe
from aae.training.settings import OptimizerSettings, Settings, TrainingSettings


def sections(model: type[Settings] = Recipe, prefix: str = "") -> Iterator[tuple[str, type[Settings]]]:
    """List the sections of a recipe, each with the settings that define it; a union gives one for each of its kinds."""
    yield prefix, model
    if issubclass(model, TrainingSettings):
        yield f"{prefix}.PHASE", OptimizerSettings
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        for below in inner:
            yield from sections(below, f"{prefix}.{name}" if prefix else name)


def keys(model: type[Settings]) -> Iterator[tuple[str, str, str, str]]:
    """List the plain keys of a section: name, what it can be, default, description."""
    described = descriptions(model)
    for name, field in model.model_fields.items():
        if not list(_models(field.annotation)):
            default = field.default
            text = "" if default is PydanticUndefined else "not set" if default is None else _plain(default)
            kind = ", ".join(dict.fromkeys(_names(field.annotation)))
            yield name, kind, text, described.get(name, "")


def descriptions(model: type[Settings]) -> dict[str, str]:
    """Read the strings that stand below the fields of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (isinstance(base, type) and issubclass(base, Settings)) or base is Settings:
            continue
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def key_tables() -> str:
    """Write all sections as Markdown: sentence, table of keys."""
    parts: list[str] = []
    seen: set[type[Settings]] = set()
    places: dict[type[Settings], list[str]] = {}
    for place, model in sections():
        places.setdefault(model, []).append(place)
    for model, where in places.items():
        if model in seen:
            continue
        seen.add(model)
        names = [f"`[{place}]`" if place else "At the top of the file" for place in where]
        kind = next((key for key in keys(model) if key[0] == "kind"), None)
        suffix = f" with `kind = {kind[1].strip('`')}`" if kind else ""
        summary = " ".join((model.__doc__ or "").split())
        parts.append(f"**{', '.join(names)}{suffix}.** {summary}".replace(" a recipe's ``[training]`` section", " it"))
        rows = [key for key in keys(model) if key[0] != "kind"]
        if rows:
            lines = ["| key | value | default | what |", "| --- | --- | --- | --- |"]
            lines += [f"| `{name}` | {kind} | {default} | {_cell(text)} |" for name, kind, default, text in rows]
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def recipe_table() -> str:
    """Write a table of all recipes of the package."""
    lines = ["| recipe | what | paper | data | rough cost |", "| --- | --- | --- | --- | --- |"]
    for name in recipes.names():
        recipe = recipes.read(name)
        cells = [f"`{name}`", recipe.title, recipe.reference, recipe.data.source, recipe.cost]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _models(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _names(annotation: Any) -> Iterator[str]:
    """Name the types of a field in plain words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from (f"`{_toml(argument)}`" for argument in arguments)
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            if argument is not types.NoneType:
                yield from _names(argument)
    elif hasattr(annotation, "__metadata__"):
        yield from _names(arguments[0])
    elif origin is list:
        yield f"list of {' or '.join(_names(arguments[0]))}"
    elif origin is tuple:
        yield f"{len(arguments)} numbers"
    elif origin is dict:
        key, value = (" or ".join(_names(argument)) for argument in arguments)
        yield f"table from {'epoch' if key == 'whole number' else 'name'} to {value}"
    else:
        plain = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`", Any: "anything"}
        yield plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plain(value: Any) -> str:
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value == {} else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    from sphinx.util.docutils import SphinxDirective  # here, so that the tests can look at the tables without it

    def insert(write: Callable[[], str]) -> type[SphinxDirective]:
        class Tables(SphinxDirective):
            def run(self) -> list[Any]:
                return self.parse_text_to_nodes(write())

        return Tables

    app.add_directive("recipe-keys", insert(key_tables))
    app.add_directive("recipe-list", insert(recipe_table))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
