"""Damaged files of every kind that a run folder holds: refused in one line, or read without trouble."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aae.errors import InputError
from aae.evaluation.parzen import parzen_log_likelihood
from aae.reproduction import results
from aae.runs.evaluate import evaluate, read_report
from aae.runs.hub import from_pretrained, save_pretrained
from aae.runs.run import Run
from aae.training.checkpoints import checkpoint_places, latest_checkpoint
from aae.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from faults import Tally

MEMORY = 3 * 2**30  # bytes of address space beyond what the process has: what asks for more has believed a file
SECONDS = 20  # for one file
ROWS = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def _use(run: Run) -> None:
    """Do with a loaded run what people do; nothing that comes out may be other than finite numbers."""
    for values in (run.predict_proba(ROWS), run.encode(ROWS)["style"], run.reconstruct(ROWS), run.sample(2)):
        if not np.isfinite(values).all():
            raise AssertionError("numbers that are not finite came out")


def _run(folder: Path) -> None:
    _use(Run.load(folder, "cpu"))


def _shared(folder: Path) -> None:
    _use(from_pretrained(folder, "cpu"))


def _metrics(folder: Path) -> None:
    run = RunDirectory(folder)
    run.read_metrics()
    shutil.copy(run.metrics, folder / "kept.jsonl")
    try:
        run.keep_metrics(1)
        if [record["epoch"] for record in run.read_metrics()] not in ([], [1]):
            raise AssertionError("records of other epochs were kept")
    finally:
        shutil.move(folder / "kept.jsonl", run.metrics)


def _checkpoint(folder: Path) -> None:
    found = latest_checkpoint(folder / "checkpoints")
    whole = json.loads((folder / "whole.json").read_text())
    if found is None or found[1] != {key: value for key, value in whole.items() if key not in ("bytes", "digest")}:
        raise AssertionError("a damaged checkpoint was taken")


def _report(folder: Path) -> None:
    read_report(folder / "evaluation.json")


def _results(folder: Path) -> None:
    results.read(folder / "results")


def _parzen(folder: Path) -> None:
    samples, validation, test = (np.random.default_rng(k).random((40, 3)) for k in range(3))
    found = parzen_log_likelihood(
        samples, validation, test, sigmas=[0.1, 0.5], fine=False, block=20, folder=folder / "parzen", progress=False
    )
    expected = json.loads((folder / "parzen.json").read_text())
    if found.log_likelihood_nats != expected:
        raise AssertionError(f"a damaged state gave {found.log_likelihood_nats} in place of {expected}")


def _places(folder: Path) -> dict[str, tuple[Path, Callable[[Path], None]]]:
    (checkpoint,) = (folder / "checkpoints").glob("*.safetensors")
    return {
        "recipe.toml": (folder / "recipe.toml", _run),
        "run.json": (folder / "run.json", _run),
        "model.safetensors": (folder / "model.safetensors", _run),
        "metrics.jsonl": (folder / "metrics.jsonl", _metrics),
        "evaluation.json": (folder / "evaluation.json", _report),
        "checkpoint, tensors": (checkpoint, _checkpoint),
        "checkpoint, side file": (checkpoint.with_suffix(".json"), _checkpoint),
        "config.json": (folder / "shared" / "config.json", lambda folder: _shared(folder / "shared")),
        "result file": (next((folder / "results").glob("*.json")), _results),
        "Parzen state": (next((folder / "parzen").glob("*.safetensors")), _parzen),
    }


KINDS = (
    *("recipe.toml", "run.json", "model.safetensors", "metrics.jsonl", "evaluation.json", "checkpoint, tensors"),
    *("checkpoint, side file", "config.json", "result file", "Parzen state"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, 1e308, "", "a", "../x", "/dev/zero", "\x00", "\x1b[31m"),
    *([], {}, [[]], [1] * 50, {"a": {"b": 1}}, "NaN", "x" * 10_000, [10**9], [10**9, 10**9]),
)


def mutate(content: bytes, random: random.Random) -> bytes:
    """Damage a file: bytes flipped, cut, doubled, swapped, or values of JSON and TOML replaced by others."""
    kind = random.randrange(12)
    if kind >= 7:
        changed = _other_value(content, random)
        if changed is not None:
            return changed
    data, n = bytearray(content), len(content)
    at = random.randrange(n) if n else 0
    length = random.choice((1, 1, 2, 8, 100, n // 2 or 1))
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        del data[at : at + length]
    elif kind == 2:
        data[at:at] = data[at : at + length]
    elif kind == 3:
        data[at:at] = random.randbytes(length)
    elif kind == 4:
        data[at : at + length] = bytes(length)
    elif kind == 5:
        return random.choice(
            (b"", b"{}", b"[]", b"null", b"[" * 50_000, b'{"a":' * 50_000, random.randbytes(n), b"\xff\xfe")
        )
    else:
        for _ in range(random.choice((1, 1, 1, 3, 20))):
            data[random.randrange(n)] ^= 1 << random.randrange(8)
    return bytes(data)


def _other_value(content: bytes, random: random.Random) -> bytes | None:
    """Replace, remove or add a value; None if the file is neither JSON, nor lines of it, nor TOML."""
    value = random.choice(VALUES)
    try:
        lines = content.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return None
    try:
        tree = json.loads(content)
    except ValueError:
        at = random.randrange(len(lines))
        key, equals, _ = lines[at].partition(" = ")
        new = f"{key} = {json.dumps(value, default=str)}\n" if equals else json.dumps(value) + "\n"
        lines[at : at + 1] = random.choice(([new], [], [lines[at], lines[at]], [new, lines[at]]))
        return "".join(lines).encode("utf-8", "surrogatepass")
    nodes = [tree]
    for node in nodes:
        nodes += [
            child for child in (node.values() if isinstance(node, dict) else node) if isinstance(child, dict | list)
        ]
    node = random.choice([node for node in nodes if node] or [tree])
    key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
    if random.random() < 0.2:
        del node[key]
    elif isinstance(node, dict) and random.random() < 0.1:
        node["more"] = value
    else:
        node[key] = value
    return json.dumps(tree).encode()


def make_folder(folder: Path, run: Path) -> None:
    """Copy a finished run, and put beside it one file of every other kind."""
    shutil.copytree(run, folder)
    finished = Run.load(folder, "cpu")
    report = evaluate(finished)
    save_pretrained(finished, folder / "shared")
    results.record([finished], [report], folder / "results")
    (place,) = checkpoint_places(folder / "checkpoints")
    shutil.copy(folder / "checkpoints" / f"epoch-{place[0]:06d}-step-{place[1]:06d}.json", folder / "whole.json")
    samples, validation, test = (np.random.default_rng(k).random((40, 3)) for k in range(3))
    found = parzen_log_likelihood(
        samples, validation, test, sigmas=[0.1, 0.5], fine=False, block=20, folder=folder / "parzen", progress=False
    )
    (folder / "parzen.json").write_text(json.dumps(found.log_likelihood_nats))


def damage_files(folder: Path, run: Path, count: int, seed: int, tally: Tally) -> dict[str, dict[str, int]]:
    """Damage `count` files of each kind and read them; returns how many were refused and read, by kind."""
    make_folder(folder, run)
    found = {}
    for kind in KINDS:
        started = time.monotonic()
        log = folder / "log.json"
        child = os.fork()
        if not child:
            status = 70
            try:
                log.write_text(json.dumps(_damage_kind(folder, kind, count, seed)))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        status = os.waitpid(child, 0)[1]
        if status:
            tally.failures.append(f"{kind}: the reader itself ended with {status}")
            continue
        outcome = json.loads(log.read_text())
        tally.failures += [f"{kind}: {failure}" for failure in outcome.pop("failures")]
        tally.counts["mutated files"] += count
        found[kind] = outcome
        print(f"{kind}: {outcome}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    return found


def _damage_kind(folder: Path, kind: str, count: int, seed: int) -> dict[str, Any]:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))

    def hang(number: int, frame: object) -> None:
        raise TimeoutError(f"hangs: more than {SECONDS} s")

    signal.signal(signal.SIGALRM, hang)
    path, read = _places(folder)[kind]
    whole, random_ = path.read_bytes(), random.Random(f"{kind} {seed}")
    refused = accepted = 0
    failures: list[str] = []
    for _ in range(count):
        content = mutate(whole, random_)
        path.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            read(folder)
            accepted += 1
        except InputError as error:
            refused += 1
            if "\n" in str(error) or len(str(error)) > 20_000:
                failures.append(f"a message of several lines: {error!s:.500}")
        except BaseException:
            if len(failures) < 20:
                failures.append(f"{traceback.format_exc()[-1500:]}\nfor {content[:300]!r}")
            else:
                failures.append("one more Traceback")
        finally:
            signal.alarm(0)
    path.write_bytes(whole)
    return {"refused": refused, "read": accepted, "failures": failures}
