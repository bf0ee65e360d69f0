"""What a sweep varies: keys of a recipe with the values that each can have, all of them or drawn from a range."""

from __future__ import annotations

import itertools
import json
import math
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from aae.errors import InputError
from aae.recipes import Recipe
from aae.recipes.reader import read_value

Settings = dict[str, str]
"""From keys of a recipe to their values in TOML notation, as ``--set`` takes them."""
Choices = dict[str, list[str]]
"""From keys to the values that each can have."""
SEED = "training.seed"
SECTIONS = ("data", "model", "training", "evaluation")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included, evenly or on a logarithmic scale; whole ones if both ends are."""

    low: float | int
    high: float | int
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @classmethod
    def parse(cls, key: str, text: str) -> Range:
        """Read ``LOW:HIGH`` or ``LOW:HIGH:log``.

        Raises
        ------
        InputError
            If it is no such range, or an empty one.
        """
        expected = f"range {key}={text}: expected LOW:HIGH or LOW:HIGH:log with numbers LOW below HIGH"
        parts = text.strip().split(":")
        log = parts[-1].strip() == "log"
        ends = [_number(part) for part in (parts[:-1] if log else parts)]
        if len(ends) != 2 or None in ends:
            raise InputError(expected)
        low, high = ends
        assert low is not None
        assert high is not None
        if not low < high:
            raise InputError(expected)
        if log and low <= 0:
            raise InputError(
                f"range {key}={text}: found {low:g} as the lower end; a logarithmic scale expects more than 0"
            )
        return cls(low, high, log)

    def __str__(self) -> str:
        """Write it as `parse` reads it."""
        return f"{self.low}:{self.high}{':log' if self.log else ''}"

    @property
    def ends(self) -> list[str]:
        """Both ends as values of settings."""
        return [repr(self.low), repr(self.high)]

    @property
    def middle(self) -> str:
        """A number in between as a value of settings; both ends may be whole where this is not."""
        if self.is_whole:
            return repr((int(self.low) + int(self.high)) // 2)
        return repr(math.sqrt(self.low) * math.sqrt(self.high) if self.log else self.low / 2 + self.high / 2)


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else None
    return None


def choices_from(given: Mapping[str, Iterable[Any]] | str | Iterable[str]) -> Choices:
    """Read which values keys can have.

    Parameters
    ----------
    given : mapping or iterable of str
        From key to values; or ``KEY=VALUE,VALUE,...``, the values as in a TOML array, bare words taken as strings.

    Raises
    ------
    InputError
        If a key has no value, one twice, or stands there twice.
    """
    given = listed(given, "grid", "KEY=VALUE,VALUE,...")
    if isinstance(given, Mapping):
        pairs = [(key_of(key), _values(key, values)) for key, values in given.items()]
    else:
        pairs = [_parse_choices(text) for text in given]
    found: Choices = {}
    for key, values in pairs:
        if key in found:
            raise InputError(f"grid: {key} stands there twice; expected all its values together")
        if not values:
            raise InputError(f"grid: {key} has no value; expected at least one")
        check_each_once(key, values)
        found[key] = values
    _check_keys(found)
    return found


def ranges_from(given: Mapping[str, str | Range] | str | Iterable[str]) -> dict[str, Range]:
    """Read ranges: from key to ``LOW:HIGH`` or ``LOW:HIGH:log``, or ``KEY=LOW:HIGH`` each.

    Raises
    ------
    InputError
        If something is no range, or a key stands there twice.
    """
    given = listed(given, "ranges", "KEY=LOW:HIGH")
    pairs: Iterable[tuple[str, str | Range]]
    pairs = (
        [(key_of(key), value) for key, value in given.items()]
        if isinstance(given, Mapping)
        else [_split(text, "range") for text in given]
    )
    found: dict[str, Range] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"range: {key} stands there twice; expected one range")
        if not isinstance(value, str | Range):
            raise InputError(f"range {key} is {value!r}; expected a text LOW:HIGH or LOW:HIGH:log")
        found[key] = Range.parse(key, str(value))
    _check_keys(found)
    return found


def key_of(name: str) -> str:
    """Return the key of a recipe that a name of Python stands for: two underscores for each dot.

    Raises
    ------
    InputError
        If it is no text.
    """
    if not isinstance(name, str):
        raise InputError(f"found the key {name!r}; expected a text such as 'training.batch_size'")
    return name.replace("__", ".")


def grid(choices: Choices) -> Iterator[Settings]:
    """List all combinations of values; the last key varies fastest."""
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def listed(given: Any, what: str, form: str) -> Mapping[Any, Any] | list[str]:
    """Return what was given as a mapping or as texts as the one or the other; a single text is a list of one.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(given, Mapping):
        return given
    texts: list[Any] = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{what}: found {given!r}; expected a mapping, or texts {form}")
    return texts


def check_each_once(key: str, values: Sequence[str]) -> None:
    """Check that no value of a key stands there twice; InputError otherwise."""
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise InputError(f"grid: {key} has the value {twice} twice; expected each once")


def _values(key: str, values: Any) -> list[str]:
    scalar = isinstance(values, np.ndarray) and values.ndim == 0
    if scalar or isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InputError(f"grid: {key} is {values!r}; expected a list of values")
    texts = [value_text(value, f"grid: {key}") for value in values]
    return sorted(texts) if isinstance(values, Set) else texts  # a set has another order in the next process


def value_text(value: Any, where: str = "value") -> str:
    """Write a value in TOML notation on one line; `where` opens the message of the InputError for what TOML cannot hold."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(str(key))} = {value_text(one, where)}" for key, one in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(one, where) for one in value)}]"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str | int):
        found = "None" if value is None else f"a value of type {type(value).__name__}"
        raise InputError(
            f"{where}: found {found}; expected what TOML can hold: texts, numbers, true or false, lists, tables"
        )
    return json.dumps(value, ensure_ascii=False)


def as_number(text: str) -> float | None:
    """Return the number that a value in TOML notation is, or None."""
    return _number(text) if text not in ("true", "false") else None


def overrides(settings: Settings) -> list[str]:
    """Write settings as ``--set`` takes them."""
    return [f"{key}={value}" for key, value in settings.items()]


def _split(text: str, kind: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{kind} {text!r}: expected section.key=...")
    return key.strip(), value


def _parse_choices(text: str) -> tuple[str, list[str]]:
    key, values = _split(text, "grid")
    where = f"grid: {key}"
    try:
        found = tomllib.loads(f"values = [{values}]")
    except (RecursionError, ValueError):  # bare words
        found = {}
    if len(found) == 1:
        return key, [value_text(value, where) for value in found["values"]]
    words = _words(values)
    if "" in words:
        raise InputError(f"{where}={values}: found nothing between two commas; expected a value")
    return key, [value_text(read_value(word), where) for word in words]


def _words(text: str) -> list[str]:
    """Split at the commas that stand neither in quotes nor in brackets; one at the end is no other word."""
    words, word, quote, depth = [], "", "", 0
    for place, letter in enumerate(text):
        inside = depth > 0 or not word.strip()  # elsewhere quotes and brackets are letters of a bare word
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter in "\"'" and inside:
            quote = letter
        elif letter in "[{" and inside:
            depth += 1
        elif letter in "]}":
            depth = max(0, depth - 1)
        elif letter == "," and not depth:
            words.append(word.strip())
            word = ""
            continue
        word += letter
    return [*words, *([word.strip()] if word.strip() else [])]


def _check_keys(found: Mapping[str, Any]) -> None:
    for key in found:
        if key == SEED:
            raise InputError(f"{key} cannot be varied; expected a number of seeds, over which results are averaged")
        section = key.partition(".")[0]
        if section in Recipe.model_fields and section not in SECTIONS:
            raise InputError(f"{key} cannot be varied: it changes no training; expected a key of {', '.join(SECTIONS)}")
