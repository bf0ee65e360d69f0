"""Rows to train on: known data sets, a person's own files and folders, splits, labelled subsets and results.

A row is one example: an image, or a line of plain columns. Labels are class numbers from 0, with -1 for an unlabelled row.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aae.data.catalogue import NAMES as NAMES
    from aae.data.catalogue import fetch as fetch
    from aae.data.catalogue import names as names
    from aae.data.dataset import Dataset as Dataset
    from aae.data.dataset import Split as Split
    from aae.data.entries import CatalogueEntry as CatalogueEntry
    from aae.data.labels import is_unlabelled as is_unlabelled
    from aae.data.loading import load as load
    from aae.data.loading import read_rows as read_rows
    from aae.data.memory import from_arrays as from_arrays
    from aae.data.output import write_rows as write_rows
    from aae.data.splits import labelled_subset as labelled_subset

_HOMES = {
    "NAMES": "catalogue",
    "CatalogueEntry": "entries",
    "Dataset": "dataset",
    "Split": "dataset",
    "fetch": "catalogue",
    "from_arrays": "memory",
    "is_unlabelled": "labels",
    "labelled_subset": "splits",
    "load": "loading",
    "names": "catalogue",
    "read_rows": "loading",
    "write_rows": "output",
}

__all__ = [
    "NAMES",
    "CatalogueEntry",
    "Dataset",
    "Split",
    "fetch",
    "from_arrays",
    "is_unlabelled",
    "labelled_subset",
    "load",
    "names",
    "read_rows",
    "write_rows",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that labels and splits do not wait for readers of files."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"aae.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'aae.data' has no attribute {name!r}")
