"""Whether the first line of a table holds the names of its columns, or is the first row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aae.data.formats import LIKELY, Options
from aae.data.labels import is_unlabelled
from aae.errors import note

_MANY = 3  # columns or rows from which on numbers say something


def has_names(path: Path, cells: Sequence[Sequence[str]], options: Options) -> bool:
    """Decide from the first lines of a table whether the first one names the columns.

    What is named decides: ``options.header``; the columns of the training data; a column of labels or identifiers that the
    first line names, or one that is named by its number (which among numbers may be a value, and decides nothing). Otherwise
    words are names, unless none stands above numbers and each occurs again below it, and numbers are a row, unless they are the
    places of the columns, 0, 1, 2, ..., or a scale: numbers that only rise or only fall and that the rows below do not continue.
    Where numbers had to be judged a line says how.

    Parameters
    ----------
    path : Path
        The file, for messages.
    cells : sequence of sequences of str
        The first lines, split.
    options : Options
        What is known.
    """
    first, rest = [cell.strip() for cell in cells[0]], [row for row in cells[1:] if len(row) == len(cells[0])]
    if options.header is not None:
        return options.header
    counted = [str(place) for place in range(len(first))]
    places = {*counted}
    by_number = False
    if options.columns:
        by_number = set(options.columns) <= places
        there = set(options.columns) <= set(first)
        if there and (not by_number or options.named):
            return True
        if by_number and not there:
            return False
    named = [name for name in (options.label_column, options.id_column, *options.ignore_columns) if name is not None]
    numeric = [is_number(cell) for cell in first]
    words = [place for place, number in enumerate(numeric) if not number]
    said = [name for name in named if words or name not in places]  # among numbers a place may be a value
    if any(name in first for name in said) and not (options.whole and any(numeric)):
        return True
    by_number = by_number or any(name in places for name in named)
    if words and by_number and all(first[place] != "" and str(place) in named for place in words):
        return False
    if words:
        names = _are_names(path, first, rest, words)
        if names and options.labels_only and len(first) == 1 and first[0].casefold() not in LIKELY["label_column"]:
            note(f"{path}: the first line, {first[0]!r}, is read as the name of the column, and not as a label")
        return names
    if len(first) == 1 or len(cells) == 1:
        return False
    below = _numbers(rest, len(first))
    if sorted(first) == sorted(counted):
        in_order = first == counted
        names = _are_places(in_order, below) if options.named is not False else in_order and len(first) >= _MANY
    elif by_number:
        return False
    else:
        names = _is_scale(np.array(first, float), below)
    told = "names of columns (data.header=false reads it as a row)"
    told = (
        told if names else "a row, and the columns are called 0, 1, ... (data.header=true reads it as a line of names)"
    )
    note(f"{path}: the first line, {', '.join(first[:3])}{', ...' if len(first) > 3 else ''}, is read as {told}")
    return names


def is_number(text: str) -> bool:
    """Check whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _are_names(path: Path, first: Sequence[str], rest: Sequence[Sequence[str]], words: Sequence[int]) -> bool:
    """Check whether the words of a first line are names, not values that occur again; beside numbers it is said."""
    if any(
        first[place][:1].isalpha()
        and not is_unlabelled([first[place]])[0]
        and any(is_number(row[place]) for row in rest)
        for place in words
    ):
        return True  # a word above numbers, even where the line comes again
    again = bool(rest) and all(first[place] in {row[place].strip() for row in rest} and first[place] for place in words)
    if again:
        note(
            f"{path}: the first line is read as a row, as {first[words[0]]!r} occurs below it too, and the columns are called "
            "0, 1, ... (data.header=true reads it as a line of names)"
        )
    return not again


def _numbers(rest: Sequence[Sequence[str]], width: int) -> np.ndarray:
    """Collect the rows that are all numbers."""
    rows = [[float(cell) for cell in row] for row in rest if all(is_number(cell) for cell in row)]
    return np.array(rows, float).reshape(len(rows), width)


def _are_places(in_order: bool, below: np.ndarray) -> bool:
    """Check whether 0, 1, 2, ..., in some order, are names of columns and no row like those below."""
    width = below.shape[1]
    if in_order:
        return width >= _MANY or not np.isin(below, np.arange(width)).all(1).any()
    whole = bool((below == np.floor(below)).all())
    again = (np.sort(below, axis=1) == np.arange(width)).all(1).any()
    return not again and (width > _MANY or not whole)


def _is_scale(first: np.ndarray, rest: np.ndarray) -> bool:
    """Check whether numbers rise or fall throughout and are unlike the rows below: outside their range, or evenly spaced."""
    steps = np.diff(first)
    if len(first) < _MANY or not ((steps > 0).all() or (steps < 0).all()):
        return False
    if not len(rest):
        return True
    below = np.diff(rest, axis=1)
    alike = float(((below > 0).all(1) | (below < 0).all(1)).mean())
    outside = bool(((first < rest.min(0)) | (first > rest.max(0))).all())
    even = bool(np.allclose(steps, steps[0], rtol=1e-3))
    return (outside and (even or len(rest) >= _MANY)) or (even and alike < 0.5)
