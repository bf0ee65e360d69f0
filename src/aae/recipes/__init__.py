"""Recipes: one TOML file per number or figure of the paper, and the strict schema that reads them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aae.recipes.files import names, overview

if TYPE_CHECKING:
    from aae.recipes.reader import differences as differences
    from aae.recipes.reader import dump as dump
    from aae.recipes.reader import read as read
    from aae.recipes.schema import Recipe as Recipe

__all__ = ["Recipe", "differences", "dump", "names", "overview", "read"]


def __getattr__(name: str) -> Any:
    """Import what checks recipes when it is first used: it knows the networks that they describe, and so needs torch."""
    if name in ("differences", "dump", "read"):
        return getattr(importlib.import_module("aae.recipes.reader"), name)
    if name == "Recipe":
        return importlib.import_module("aae.recipes.schema").Recipe
    raise AttributeError(f"module 'aae.recipes' has no attribute {name!r}")
