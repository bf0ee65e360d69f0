"""What the values of recipes can be: numbers in a range, one of some names, and names of custom modules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from aae.training.settings import Count as Count

Fraction = Annotated[float, Field(ge=0, lt=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def one_of(names: Collection[str]) -> AfterValidator:
    """Create the check that a text is one of some names."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"is {name!r}; expected one of: {', '.join(names)}")
        return name

    return AfterValidator(check)


def _module_and_attribute(name: str) -> str:
    module, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        raise ValueError(f"is {name!r}; expected 'module:attribute', such as 'mynet:Encoder'")
    return name


def _as_text(name: Any) -> Any:
    return str(name) if isinstance(name, int | float) and not isinstance(name, bool) else name


CustomModule = Annotated[str, AfterValidator(_module_and_attribute)]
"""``module:attribute``, imported when the recipe is trained."""
ColumnName = Annotated[str, BeforeValidator(_as_text)]
"""Name of a column; a number is one too."""
