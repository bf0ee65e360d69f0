"""Parameters that a docstring only refers to ("As for `AAE`") are written out on the page of the estimator."""

import inspect
import json
import re
from typing import Any

ENTRY = re.compile(r"^(\w+)(?:, +\w+)* ?(?::.*)?$")


def sections(lines: list[str]) -> dict[str, list[tuple[int, int]]]:
    """Find where each entry (one or several names) of Parameters and Attributes begins and ends."""
    found: dict[str, list[tuple[int, int]]] = {}
    section, start = "", None
    for number, line in enumerate([*lines, "."]):
        underlined = number + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[number + 1])
        begins = bool(line) and not line.startswith((" ", "-", ".."))
        if start is not None and (begins or number == len(lines)):
            found.setdefault(section, []).append((start, number))
            start = None
        if underlined:
            section = line
        elif begins and section in ("Parameters", "Attributes") and ENTRY.match(line) and number < len(lines):
            start = number
    return found


def named(line: str) -> list[str]:
    """Return the names that an entry is of."""
    return [name.strip() for name in line.split(":")[0].split(",")]


def entries(lines: list[str]) -> dict[str, dict[str, list[str]]]:
    """Return the lines of the entry of every name, by section and name."""
    return {
        section: {name: lines[a:b] for a, b in places for name in named(lines[a])}
        for section, places in sections(lines).items()
    }


def write_out(lines: list[str], base: list[str], defaults: dict[str, Any]) -> list[str]:
    """Return the docstring with the entries of the base class, but defaults of its own, in place of references to them."""
    known = entries(base)
    out = list(lines)
    every = [(place, section) for section, places in sections(lines).items() for place in places]
    for (start, end), section in sorted(every, reverse=True):
        text = " ".join(part.strip() for part in lines[start + 1 : end])
        refers = re.match(r"As for `AAE`[.;,]?\s*(.*)", text)
        names = named(lines[start])
        if not refers or not all(name in known.get(section, {}) for name in names):
            continue
        written: list[str] = []
        for name in names:
            head, *rest = known[section][name]
            if head in written:
                continue  # it is of several names
            if name in defaults:
                default = json.dumps(defaults[name]) if isinstance(defaults[name], str) else repr(defaults[name])
                head = re.sub(r"default=.*$", lambda _, default=default: f"default={default}", head)
            written += [head, *(line for line in rest if line.strip())]
        note = refers[1].strip()
        if note:
            written.append(f"    {note[0].upper()}{note[1:]}")
        out[start:end] = written + [""] * (not lines[end - 1].strip())
    return out


def process(app: Any, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Write out what an estimator refers to."""
    from aae import AAE

    if what == "class" and item is not AAE and "As for `AAE`" in "\n".join(lines):
        defaults = {
            key: parameter.default
            for key, parameter in inspect.signature(item).parameters.items()  # type: ignore[arg-type]
            if parameter.default is not inspect.Parameter.empty
        }
        lines[:] = write_out(lines, (inspect.getdoc(AAE) or "").splitlines(), defaults)


def setup(app: Any) -> dict[str, bool]:
    """Work before numpydoc reads the docstrings."""
    app.connect("autodoc-process-docstring", process, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
