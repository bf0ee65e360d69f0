"""What the user can get wrong, as one kind of exception."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable

RESUME = "--resume (resume=True in Python)"
"""How to go on with a run, in messages that the command line and programs have in common."""
_LONG = 300  # characters of what another library says
_OUT_OF_MEMORY = (
    r"out of memory|can't allocate memory|not enough memory|invalid buffer size|(size|multiplication).* overflow"
)


class InputError(ValueError):
    """Bad input from the user.

    The message is one line that names what was wrong (a file, a key, an option), what was found and what was expected.
    Control characters in it, which names in files may hold, are escaped. The command line prints it and exits with status 2.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class InUseError(InputError):
    """Another process is at work in a folder; the message is one line that says which."""


class InputWarning(UserWarning):
    """Input that was read in one of several possible ways, or not read; the message is one line that says which."""


def note(message: str) -> None:
    """Say in one line how input was understood, as an `InputWarning`; the command line prints it on standard error."""
    warnings.warn(printable(message), InputWarning, stacklevel=3)


def printable(text: str) -> str:
    """Return text with control characters, line ends and undecodable bytes escaped, so that it prints as one harmless line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unknown(kind: str, found: str, known: Iterable[str]) -> InputError:
    """Create the error for a name that is not one of `known`, with the nearest known name as a suggestion.

    Parameters
    ----------
    kind : str
        What the name should have been, such as ``"recipe"``.
    found : str
        The name as the user wrote it.
    known : iterable of str
        The names that exist.

    Returns
    -------
    InputError
        To be raised by the caller.
    """
    names = sorted(known)
    near = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(names)}"
    return InputError(f"unknown {kind} {found!r}; {hint}")


def needs_extra(what: str, extra: str) -> InputError:
    """Create the error for what cannot be done as an extra of the package is not installed; `what` opens its message."""
    return InputError(f"{what} needs the extra {extra!r}; expected: pip install 'adversarial-autoencoder[{extra}]'")


def reason(error: Exception) -> str:
    """Return on one line what an exception of another library says, or of what kind it is."""
    several = len(error.args) > 1 and all(isinstance(one, str) for one in error.args)  # which Python writes as a tuple
    text = " ".join(("; ".join(error.args) if several else str(error)).split()) or type(error).__name__
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def ran_out_of_memory(error: BaseException) -> bool:
    """Check whether an exception says that there was not enough memory; torch says so in a plain `RuntimeError`."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and re.search(_OUT_OF_MEMORY, str(error), re.IGNORECASE) is not None
    )


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one line that names phase, epoch and step."""


class TargetMissedError(RuntimeError):
    """A training went to its end without reaching the value of a metric that was asked for; the message is one line."""


class CallbackError(TrainingError):
    """A callback raised an error, which ended the training; the message names it and says what is left."""


class CollapseWarning(UserWarning):
    """Training came to an end, but what was trained shows a sign of collapse; the message says which, and what may help."""


class InterruptedTrainingWarning(UserWarning):
    """Ctrl-C ended the fitting of an estimator, which keeps what was learnt; the message says how far it came."""


class InterruptedTrainingError(RuntimeError):
    """A signal stopped a run after its checkpoint was written; the message says how to go on.

    Parameters
    ----------
    message : str
        One line.
    status : int
        Exit status of the command.
    """

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.status = status
