"""Rows to train on: known data sets, a person's own files and folders, splits, labelled subsets and results.

A row is one example: a image, or a line of plain columns. Labels are class numbers from 0, with -1 for an
unlabelled row.
"""

from aae.data.catalogue import NAMES, fetch, names
from aae.data.dataset import Dataset, Split
from aae.data.entries import CatalogueEntry
from aae.data.loading import load, read_rows
from aae.data.output import write_rows
from aae.data.splits import labelled_subset

__all__ = [
    "NAMES",
    "CatalogueEntry",
    "Dataset",
    "Split",
    "fetch",
    "labelled_subset",
    "load",
    "names",
    "read_rows",
    "write_rows",
]
