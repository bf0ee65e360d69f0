"""The program: its commands, its exit status, and what it says on standard error."""

from __future__ import annotations

import io
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from aae._version import __version__
from aae.cli import bench, data, evaluation, look, sweeping, training, use
from aae.errors import (
    InputError,
    InputWarning,
    InterruptedTrainingError,
    TargetMissedError,
    TrainingError,
    printable,
    ran_out_of_memory,
)
from aae.training.signals import StoppedError, ended_by_signals

OTHERS_WAIT = 20  # seconds for which the other processes of torchrun leave it to the first to say what is wrong

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    training.recipes,
    training.train,
    evaluation.evaluate,
    evaluation.parzen,
    use.predict,
    use.encode,
    use.score,
    use.reconstruct,
    use.interpolate,
    use.sample,
    evaluation.figure,
    look.report,
    look.explore,
    use.export,
    sweeping.sweep,
    training.reproduce,
    training.demo,
    bench.bench,
):
    app.command()(command)  # in the order of --help
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aae {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Adversarial autoencoders (arXiv 1511.05644): train, evaluate, plot and use them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    0 on success; 1 where training or memory fails, 2 on bad input and 3 where a training does not become as good as
    `aae bench --time-to` asked, each with one line on stderr; 130, 143 and 129 after
    Ctrl-C, SIGTERM and SIGHUP, 75 after SIGUSR1: a training has written its checkpoint by then.
    """
    if arguments is None and sys.getfilesystemencoding() == "ascii":
        # No library expects names in other letters then.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "aae", *sys.argv[1:]])
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:  # closed by the shell
                stack.enter_context(redirect(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))))
            elif isinstance(stream, io.TextIOWrapper):  # names of any script go to any terminal
                stream.reconfigure(errors="backslashreplace")
        stack.enter_context(_notices())
        return _run(given)


def _run(given: Sequence[str]) -> int:
    try:
        _check_words(given)
        with ended_by_signals() as interruption:
            if app(args=list(given) or ["--help"], prog_name="aae", standalone_mode=False) == 130:
                raise StoppedError(interruption.status)  # which typer makes an exit status of, and returns it
    except typer.TyperException as error:
        return _report_error(_usage(error), error.exit_code)
    except InputError as error:
        return _report_error(str(error), 2)
    except TrainingError as error:
        return _report_error(str(error), 1)
    except TargetMissedError as error:
        return _report_error(str(error), 3)
    except InterruptedTrainingError as error:
        return _report_error(str(error), error.status)
    except (KeyboardInterrupt, typer.Abort) as error:
        status: int = getattr(error, "status", 130)
        return _report_error("interrupted", status) if _is_first() else status  # whoever stops one stops all
    except BrokenPipeError:  # whoever reads our output has seen enough
        return 1
    except OSError as error:
        return _report_error(
            f"{error.filename or 'the output'}: {error.strerror or error}; expected a place that can be read and written",
            2,
        )
    except (MemoryError, RuntimeError) as error:
        message = " ".join(str(error).split())
        if not ran_out_of_memory(error):
            raise
        return _report_error(
            f"out of memory ({message or 'no more is given'}); expected smaller sizes or more memory", 1
        )
    return 0


def _check_words(given: Sequence[str]) -> None:
    """Check that no word and no option's value is empty, which as a path would be the present folder."""
    for before, word in pairwise(("", *given)):
        name = before if before.startswith("-") and "=" not in before else "an argument"
        if word == "" or re.fullmatch("--[a-z-]+=", word):
            raise InputError(f"{name if not word else word[:-1]} is ''; expected a value, as of a variable that is set")


@contextmanager
def _notices() -> Iterator[None]:
    """Print how input was understood as lines on standard error, each once; of several processes the first does."""
    said, usual = set(), warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, InputWarning):
            usual(message, category, *where, **more)
        elif str(message) not in said and _is_first():
            said.add(str(message))
            print(f"aae: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        yield


def _is_first() -> bool:
    """Check whether this is the first of the processes of ``torchrun`` on a machine, or the only one."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _usage(error: typer.TyperException) -> str:
    """Return in one line what is wrong with the words of the command, and where to look."""
    message = error.format_message().replace("\n", " ").replace("Value error, ", "").rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see {context.command_path} --help" if context is not None else message


def _report_error(message: str, status: int) -> int:
    """Print the error; of the processes of ``torchrun`` on a machine, which mostly find the same, one says it.

    The others wait for it: as soon as one ends, ``torchrun`` stops all. What the first one did not find they say themselves.
    """
    if not _is_first():
        time.sleep(OTHERS_WAIT)
    with suppress(OSError):  # the present folder may be gone
        message = message.replace(f"{Path.cwd()}{os.sep}", "")
    print(f"aae: {printable(message)}", file=sys.stderr)
    return status
