"""Scaling of rows: the map to what the network sees and back, and how it is chosen from training rows."""

from aae.scaling.choice import (
    KINDS,
    ScalingKind,
    choose_column_scaling,
    choose_scaling,
    fillings,
    last_inputs,
    value_range,
)
from aae.scaling.map import Scaling

__all__ = [
    "KINDS",
    "Scaling",
    "ScalingKind",
    "choose_column_scaling",
    "choose_scaling",
    "fillings",
    "last_inputs",
    "value_range",
]
