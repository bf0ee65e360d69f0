"""Recipes: one TOML file per number or figure of the paper, and the strict schema that reads them."""

from aae.recipes.reader import dump, names, read
from aae.recipes.schema import Recipe

__all__ = ["Recipe", "dump", "names", "read"]
