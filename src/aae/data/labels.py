"""Labels: which rows have none, one label for each row, and the numbers of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aae.errors import InputError, note, unknown

Names: TypeAlias = str | int | float | Iterable[str | int | float] | None

UNLABELLED = -1
_MINUS_ONE = frozenset({"-1", "-1.0"})
MISSING_WORDS = frozenset(
    {
        *("", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "NaT", "-NaN", "-nan"),
        *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
    }
)  # what pandas reads as missing
_EXACT = 2**53  # up to here floats are whole numbers without gaps


def label_values(labels: Any) -> NDArray[Any]:
    """Return labels as an array: whole numbers and text beside missing ones stay such, and masked ones are None.

    So it is for masked arrays, and for series and tables of one column of pandas, polars and Arrow, whose whole numbers NumPy
    makes decimals of.

    Raises
    ------
    InputError
        For text that ends in a zero character, without which NumPy has it.
    """
    labels = _only_column(labels)
    _refuse_zero_characters(labels)
    if np.ma.isMaskedArray(labels):
        known = np.array(labels.data, object)
        known[np.ma.getmaskarray(labels)] = None
        return known
    typed = hasattr(labels, "to_list") and not isinstance(labels.dtype, np.dtype)  # by pandas or polars
    if typed or hasattr(labels, "to_pylist"):
        values = list(labels) if typed else labels.to_pylist()
        if all(isinstance(value, str | int | np.integer) for value in values if not is_nothing(value)):
            found = np.empty(len(values), object)
            found[:] = values
            return found if any(map(is_nothing, values)) else np.asarray(values)
    return np.asarray(labels)


def _only_column(labels: Any) -> Any:
    """Return the column of a table that has one, and everything else as it is."""
    if getattr(labels, "shape", ())[1:] == (1,):
        if hasattr(labels, "iloc"):
            return labels.iloc[:, 0]
        if hasattr(labels, "to_series"):
            return labels.to_series()
        if hasattr(labels, "itercolumns"):
            return labels.column(0)
    return labels


def _refuse_zero_characters(labels: Any) -> None:
    if isinstance(labels, np.ndarray):
        values = labels.ravel().tolist() if labels.dtype == object else []
    else:
        values = list(labels) if isinstance(labels, list | tuple) or hasattr(labels, "to_list") else []
    cut = next((value for value in values if isinstance(value, str) and value.endswith("\0")), None)
    if cut is not None:
        raise InputError(f"labels: found {cut!r}, expected text that does not end in a zero character")


def is_nothing(value: Any) -> bool:
    """Check whether a value is a missing one: None, NaN, NA or NaT."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def note_missing_words(words: NDArray[Any], where: str = "labels") -> None:
    """Say which words among labels are read as no label, though they could be names of classes."""
    found, counts = np.unique(words, return_counts=True)
    for word, count in zip(found.tolist(), counts.tolist(), strict=True):
        if word.strip() in MISSING_WORDS and word.strip():
            note(f"{where}: the label {word!r} of {count} rows is read as no label")


def is_unlabelled(values: Any, name: Names = None) -> NDArray[np.bool_]:
    """Check which labels stand for "no label".

    These are the same everywhere: -1 as a number or as text, a missing value (``NaN``, ``None``, ``pandas.NA``, ``NaT``, a
    null of Arrow or polars), an empty text, and the words that pandas reads as missing (``NA``, ``nan``, ``null``, ...).

    Parameters
    ----------
    values : array-like, (n,)
        Numbers, text or objects: a list, an array, a pandas or polars series. Spaces around a text do not matter.
    name : str, number or several of them, optional
        What else stands for "no label", such as ``"unlabelled"``.

    Returns
    -------
    bool array, (n,)
        True where there is no label.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiumMUSOb":  # text of variable width
        array = array.astype(object)
    names = names_of(name)
    if array.dtype.kind == "f":
        mask = np.isnan(array) | (array == UNLABELLED)
    elif array.dtype.kind in "iu":
        mask = array == UNLABELLED
    elif array.dtype.kind in "mM":
        mask = np.isnat(array)
    elif array.dtype.kind in "US":
        words, places = np.unique(array, return_inverse=True)
        return np.array([_is_missing(word, names) for word in words.tolist()], np.bool_)[places.reshape(array.shape)]
    elif array.dtype.kind == "O":
        flat = [_is_missing(value, names) for value in array.ravel().tolist()]
        return np.array(flat, np.bool_).reshape(array.shape)
    else:
        mask = np.zeros(array.shape, np.bool_)
    for number in (found for found in map(_as_number, names) if found is not None and array.dtype.kind in "iuf"):
        mask |= array == number
    return np.asarray(mask, np.bool_)


def names_of(name: Names) -> tuple[str, ...]:
    """List the names that stand for "no label" as text."""
    if name is None:
        return ()
    several = tuple(name) if isinstance(name, Iterable) and not isinstance(name, str) else (name,)
    return tuple(str(one).strip() for one in several)


def _is_missing(value: Any, names: Sequence[str]) -> bool:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip()
        if text in MISSING_WORDS or text in _MINUS_ONE or text in names:
            return True
        number = _as_number(text) if names else None
        return number is not None and any(number == _as_number(one) for one in names)
    if is_nothing(value):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, int | float | np.number):
        return bool(value != value or value == UNLABELLED or any(value == _as_number(one) for one in names))
    return False


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_texts(texts: NDArray[Any], unlabelled: Names = None, where: str = "labels") -> NDArray[Any]:
    """Read labels written as text, as in a CSV file: numbers where all of them are whole numbers, otherwise names.

    Parameters
    ----------
    texts : text array, (n,)
        As written; spaces around them are left out.
    unlabelled : str, number or several of them, optional
        What else stands for "no label", see `is_unlabelled`.
    where : str
        The file, for messages.

    Returns
    -------
    array, (n,)
        Numbers with -1 for unlabelled, or text with an empty text for unlabelled. Codes such as ``007`` are names, and so
        are numbers too large to be told apart.
    """
    texts = np.char.strip(texts.astype(np.str_))
    missing = is_unlabelled(texts, unlabelled)
    numbers = _whole_numbers(texts[~missing])
    if numbers is None:
        note_missing_words(texts[missing], where)
        return np.where(missing, "", texts)
    labels = np.full(texts.shape, UNLABELLED, numbers.dtype)
    labels[~missing] = numbers
    return labels


def _whole_numbers(texts: NDArray[Any]) -> NDArray[Any] | None:
    """Read numbers; None where a text is none, or a code, or too large to be exact."""
    words, places = np.unique(texts, return_inverse=True)
    bare = [word.lstrip("+-") for word in words.tolist()]
    if any(len(word) > 1 and word[0] == "0" and word[1].isdigit() for word in bare):
        return None
    if all(word.isascii() and word.isdigit() and len(word) < 19 for word in bare):
        return np.array([int(word) for word in words.tolist()], np.int64)[places]
    if any("_" in word for word in bare):  # which Python would read
        return None
    try:
        numbers = np.array([float(word) for word in words.tolist()], np.float64)
    except ValueError:
        return None
    return numbers[places] if (np.abs(numbers) < _EXACT).all() else None


def check_labels(labels: NDArray[Any], rows: int, where: str, unlabelled: Names = None) -> NDArray[Any]:
    """Check labels: one whole number or one text per row.

    Parameters
    ----------
    labels : array, (n,) or (n, 1)
        As a file holds them.
    rows : int
        How many there have to be.
    where : str
        The file, for messages.
    unlabelled : str, number or several of them, optional
        What else stands for "no label", see `is_unlabelled`.

    Returns
    -------
    array, (n,)
        ``int64`` with -1 for unlabelled, or text with an empty text for unlabelled.

    Raises
    ------
    InputError
        Not one label per row, not whole numbers, below -1, beyond 64 bits.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (rows,):
        raise InputError(f"{where}: found labels of shape {labels.shape}, expected one for each of {rows} rows")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    if labels.dtype.kind == "U":
        _check_characters(labels, where)
        texts = np.char.strip(labels)
        return np.where(is_unlabelled(texts, unlabelled), "", texts)
    if labels.dtype.kind not in "buif":
        raise InputError(f"{where}: found labels of type {labels.dtype}, expected integers or text")
    known = ~is_unlabelled(labels, unlabelled)
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.rint(labels))
        _expect(where, labels, whole | ~known, "a whole number")
        _expect(where, labels, (np.abs(labels) < _EXACT) | ~known, f"a whole number below {_EXACT}")
    if labels.dtype.kind == "u":
        _expect(where, labels, (labels <= np.iinfo(np.int64).max) | ~known, "a number of 64 bits with sign")
    if labels.dtype.kind in "if":
        _expect(where, labels, (labels >= 0) | ~known, "a class number, or -1 for unlabelled")
    checked = np.full(rows, UNLABELLED, np.int64)
    checked[known] = labels[known]
    return checked


def _check_characters(texts: NDArray[Any], where: str) -> None:
    """Check that a file holds text where it says so: NumPy does not, and Python fails on numbers that are no characters."""
    if texts.size and texts.dtype.itemsize:
        native = np.ascontiguousarray(texts.astype(texts.dtype.newbyteorder("=")))
        codes = native.view(np.uint32)
        if (codes > 0x10FFFF).any() or ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
            raise InputError(f"{where}: found labels with characters that do not exist, expected text")


def _expect(where: str, labels: NDArray[Any], good: NDArray[np.bool_], expected: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"{where}: label of row {row} (counted from 0): found {labels[row]}, expected {expected}")


def number_classes(
    labels: Sequence[NDArray[Any]], class_names: tuple[str, ...] | None = None
) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Number the classes 0..K-1 in sorted order, over all the given arrays together.

    Parameters
    ----------
    labels : sequence of arrays, each (n,)
        Checked labels: integers, -1 unlabelled, or text, where an empty text or "-1" is unlabelled.
    class_names : tuple of str, optional
        The classes, when they are known already; class k is ``class_names[k]``.

    Returns
    -------
    numbers : list of int64 arrays, each (n,)
        Class numbers, -1 unlabelled.
    class_names : tuple of str
        The K classes that occur, or the ones that were given.

    Raises
    ------
    InputError
        A label that is none of the given `class_names`.
    """
    together = np.concatenate(labels)
    unlabelled = np.isin(together, ["", "-1"] if together.dtype.kind == "U" else [UNLABELLED])
    classes, inverse = np.unique(together[~unlabelled], return_inverse=True)
    found = tuple(str(name) for name in classes)
    if class_names is None:
        class_names = found
    position = {name: number for number, name in enumerate(class_names)}
    if {name.lower() for name in class_names} == {"false", "true"} and len(class_names) == 2:
        lower = {name.lower(): number for name, number in position.items()}  # as each format writes them
        position = {name: lower[name.lower()] for name in found if name.lower() in lower} | position
    for name in found:
        if name not in position:
            raise unknown("class", name, class_names)
    numbers = np.full(len(together), UNLABELLED, np.int64)
    numbers[~unlabelled] = np.array([position[name] for name in found], np.int64)[inverse]
    return np.split(numbers, np.cumsum([len(part) for part in labels])[:-1]), class_names
