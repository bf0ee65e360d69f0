"""Faults by the thousand: kills at every file operation, two writers, full disks, damaged files. Nothing may be lost.

    python benchmarks/faults.py --output results/benchmarks/faults.json
    python benchmarks/faults.py --part 3/8 --output results/benchmarks/faults.json    # one of eight parts, added to the others

A tiny run is trained in forked children. A child dies right before its n-th file operation, or after it has written half of a
file, or finds the disk full from there on; then the run is resumed, and has to end with the bits of one that was never
disturbed. Damaged files (`mutations.py`) have to be refused in one line or read without trouble; a damaged checkpoint is always
refused. The permanent campaign in the tests is a sample of this one.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import json
import os
import platform
import random
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter  # noqa: F401  imported once for all children

from aae import cli, recipes
from aae.errors import InputError, InterruptedTrainingError, TrainingError
from aae.files import PART
from aae.recipes import Recipe
from aae.runs.evaluate import evaluate
from aae.runs.seeds import load_runs, train_seeds
from aae.training.run_directory import RunDirectory

KILLED, BUG, HANGS = 137, 70, -1
LIMIT = 60.0  # seconds, after which a child hangs


@dataclass
class Tally:
    """What a campaign has seen so far.

    Attributes
    ----------
    counts : Counter
        Faults by kind.
    failures : list of str
        Whatever must not happen: other bits, tracebacks, hangs, files left behind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def check(self, right: bool, what: str) -> None:
        """Note a failure where something is not right."""
        if not right:
            self.failures.append(what)


def write_rows(folder: Path) -> Path:
    """Write a table of thirty rows, four columns and three classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    rows = (rng.normal(size=(30, 4)) + labels[:, None]).astype(np.float32)
    np.savez(folder / "rows.npz", X=rows, y=labels)
    return folder / "rows.npz"


def tiny_recipe(data: Path, epochs: int, checkpoint_every: int = 1) -> Recipe:
    """Describe a run with everything that has a state: two optimizers, batch normalization, dropout, a mean of weights."""
    adam = {"optimizer": "adam", "learning_rate": 0.01}
    table = {
        "name": "tiny",
        "title": "tiny",
        "data": {"source": str(data), "labels": 9, "validation": 6, "test": 0.2},
        "model": {
            "init": "he",
            "encoder": {"hidden": [8], "batch_norm": "all", "dropout": 0.1, "input_noise": 0.3},
            "decoder": {"hidden": [8]},
            "discriminator": {"hidden": [8]},
            "label": {},
            "style": {"dim": 2, "prior": {"kind": "gaussian"}, "posterior": "gaussian"},
            "output": "linear",
        },
        "training": {
            "epochs": epochs,
            "batch_size": 6,
            "average_from": 1,
            "checkpoint_every": checkpoint_every,
            "reconstruction": adam,
            "classification": adam,
            "generator": {"learning_rate": 0.05, "momentum": 0.5},
        },
    }
    return Recipe.model_validate(table)


def in_child(work: Callable[[], object], log: Path, delay: float | None = None, signum: int = signal.SIGKILL) -> int:
    """Do some work in a forked child; returns its exit status, `KILLED` after a kill, `BUG` after a traceback or `HANGS`.

    Parameters
    ----------
    work : callable
        What the child does.
    log : Path
        Gets its output, and the traceback.
    delay : float, optional
        Seconds after which it gets a real signal.
    signum : int
        Which one.
    """
    child = start_child(work, log)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signum)
    return wait_for(child)


def start_child(work: Callable[[], object], log: Path) -> int:
    """Fork; returns the number of the child's process."""
    child = os.fork()
    if child:
        return child
    status = BUG
    try:
        with log.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            work()
            status = 0
        except (InputError, OSError) as error:  # as the command does
            print(f"aae: {error}", file=sys.stderr)
            status = 2
        except InterruptedTrainingError as error:
            print(f"aae: {error}", file=sys.stderr)
            status = error.status
        except TrainingError as error:
            print(f"aae: {error}", file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(child: int) -> int:
    """Wait for a child; returns as `in_child`."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return KILLED if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        time.sleep(0.003)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HANGS


class Faults:
    """Counts the writing operations on files below a folder, and lets the n-th fail; to be armed in a child.

    Parameters
    ----------
    root : Path
        The folder; TensorBoard's files, which a thread of its own writes, do not count.
    at : int
        Which operation, from 0.
    kind : {"kill", "tear", "full", "count"}
        What happens there: the process dies before it; it dies and the file that was to be flushed is cut in half, as after a
        power failure; from there on the disk is full; nothing.
    """

    def __init__(self, root: Path, at: int, kind: str) -> None:
        self.root, self.at, self.kind, self.seen = str(root), at, kind, 0
        self._fsync = os.fsync

    def arm(self) -> None:
        """Begin."""
        sys.addaudithook(self._audit)
        os.fsync = self._flush

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (
                any(c in mode for c in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))
            )
            if writes and self._counts(path):
                self._operation(path)
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate") and self._counts(arguments[0]):
            self._operation(arguments[0])

    def _flush(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if self._counts(path) and self.kind == "tear" and self.seen == self.at and path.is_file():
            os.truncate(path, path.stat().st_size // 2)
        if self._counts(path):
            self._operation(None)
        self._fsync(descriptor)

    def _counts(self, path: object) -> bool:
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return name.startswith(self.root) and "tensorboard" not in name and not name.endswith(".lock")

    def _operation(self, path: Any) -> None:
        number, self.seen = self.seen, self.seen + 1
        if self.kind in ("kill", "tear") and number == self.at:
            os._exit(KILLED)
        if self.kind == "full" and number >= self.at:
            named = () if path is None else (os.fspath(path),)  # of a descriptor the system gives no name
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *named)


@dataclass
class Scenario:
    """A state of a folder, what is then done to it, and what has to come of it.

    Attributes
    ----------
    name : str
        For reports.
    before : Path or None
        Folder to begin with, None: there is none.
    act : callable
        Trains into a folder; again and again, if it is killed.
    seeds : tuple of str
        Folders of the runs below it; "" is the folder itself.
    expected : list
        Outcomes of the runs.
    operations : int
        How many file operations it takes.
    """

    name: str
    before: Path | None
    act: Callable[[Path], object]
    seeds: tuple[str, ...]
    expected: list[Any]
    operations: int


def outcome(run: Path) -> tuple[bytes, list[dict[str, Any]]]:
    """Read what must be the same however often a run was disturbed: weights and metrics."""
    records = RunDirectory(run).read_metrics()
    for record in records:
        del record["seconds"]
    return (run / "model.safetensors").read_bytes(), records


class Campaign:
    """Kills, two writers and full disks.

    Parameters
    ----------
    folder : Path
        Empty; the data and all runs are in there.
    seed : int
        Decides what is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random, self.tally = folder, random.Random(seed), Tally()
        self.data, self.log, self.number = write_rows(folder), folder / "log.txt", 0
        torch.set_num_threads(1)
        os.fsync = lambda descriptor: (
            None
        )  # what is killed is a process, not the machine; half files stand for the latter
        self.train(folder / "first", seeds=2, batched=True)  # so that every child finds all modules imported
        evaluate(load_runs(folder / "first", "cpu")[0])

    def train(self, run: Path, epochs: int = 2, every: int = 1, seeds: int = 1, batched: bool = False) -> None:
        """Train or go on."""
        train_seeds(
            tiny_recipe(self.data, epochs, every), seeds, run=run, device="cpu", resume=True, batched=batched or None
        )

    def scenarios(self) -> Iterator[Scenario]:
        """Make them one after another; each is first done undisturbed."""
        one, two = ("",), ("seed-0", "seed-1")
        yield self._scenario("a run", None, lambda run: self.train(run), one)
        yield self._scenario("a run with few checkpoints", None, lambda run: self.train(run, 3, 2), one)
        short = self.folder / "short"
        self.train(short, 1)
        yield self._scenario("a run made longer", short, lambda run: self.train(run), one)
        stopped = self.folder / "stopped"
        in_child(lambda: self._stop(stopped, 4), self.log)
        yield self._scenario("a run stopped within an epoch", stopped, lambda run: self.train(run, 3), one)
        together = lambda run: self.train(run, 2, seeds=2, batched=True)  # noqa: E731
        yield self._scenario("batched seeds", None, together, two)
        few = lambda run: self.train(run, 3, 2, seeds=2, batched=True)  # noqa: E731
        yield self._scenario("batched seeds with few checkpoints", None, few, two)
        parted = self.folder / "parted"
        in_child(lambda: self._stop(parted, 4, seeds=2, batched=True), self.log)
        longer = lambda run: self.train(run, 3, seeds=2, batched=True)  # noqa: E731
        yield self._scenario("batched seeds stopped within an epoch", parted, longer, two)
        yield self._scenario("seeds in turn", None, lambda run: self.train(run, 2, seeds=2), two)

    def _stop(self, run: Path, step: int, **options: Any) -> None:
        """Train until a signal comes after so many steps."""
        from aae.training.loop import Progress

        steps = iter(range(10**6))
        Progress.step = lambda self: os.kill(os.getpid(), signal.SIGTERM) if next(steps) == step else None  # type: ignore[method-assign]
        self.train(run, 3, **options)

    def _scenario(
        self, name: str, before: Path | None, act: Callable[[Path], object], seeds: tuple[str, ...]
    ) -> Scenario:
        run, counted = self._place(before), self.folder / "counted"

        def count() -> None:
            faults = Faults(run, -1, "count")
            faults.arm()
            act(run)
            counted.write_text(str(faults.seen))

        status = in_child(count, self.log)
        if status:
            raise SystemExit(f"{name}: the undisturbed run ended with {status}\n{self.log.read_text()}")
        return Scenario(name, before, act, seeds, [outcome(run / s) for s in seeds], int(counted.read_text()))

    def _place(self, before: Path | None) -> Path:
        self.number += 1
        run = self.folder / f"run-{self.number}"
        if before is not None:
            shutil.copytree(before, run)
        return run

    def disturb(self, scenario: Scenario, kind: str, at: int, *, again: int | None = None) -> None:
        """Let one file operation fail, perhaps one of the next attempt too, and see that the run comes to its end."""
        run, where = self._place(scenario.before), f"{scenario.name}, {kind} at {at}"

        def faulty(number: int) -> Callable[[], None]:
            def work() -> None:
                Faults(run, number, kind).arm()
                scenario.act(run)

            return work

        for number in (at, again):
            if number is not None:
                status = in_child(faulty(number), self.log)
                self.tally.counts[kind] += 1
                allowed = (0, 1, 2) if kind == "full" else (0, KILLED)
                said = self.log.read_text(errors="replace")
                self.tally.check(status in allowed, f"{where}: status {status}: {said[-2000:]}")
                if kind == "full" and status:
                    self.tally.check(str(run) in said, f"{where}: no file named: {said[-500:]}")
        self._finish(scenario, run, where)

    def _finish(self, scenario: Scenario, run: Path, where: str) -> None:
        """Resume undisturbed, and compare."""
        status = in_child(lambda: scenario.act(run), self.log)
        self.tally.check(status == 0, f"{where}: resumed with status {status}: {self.log.read_text()[-2000:]}")
        if status:
            return
        for seed, expected in zip(scenario.seeds, scenario.expected, strict=True):
            self.tally.check(outcome(run / seed) == expected, f"{where}: {seed or 'the run'} ends with other bits")
            files = sorted(file.name for file in (run / seed / "checkpoints").iterdir())
            self.tally.check(len(files) == 2, f"{where}: checkpoints {files}")
        left = [file.name for file in run.rglob(".*") if PART.fullmatch(file.name)]
        self.tally.check(not left, f"{where}: left behind {left}")
        shutil.rmtree(run)

    def kill_for_real(self, scenario: Scenario, longest: float) -> None:
        """Send SIGKILL at a random moment, twice, then resume."""
        run = self._place(scenario.before)
        for _ in range(2):
            status = in_child(lambda: scenario.act(run), self.log, self.random.uniform(0, longest))
            self.tally.counts["SIGKILL"] += 1
            self.tally.check(
                status in (0, KILLED), f"{scenario.name}, SIGKILL: status {status}: {self.log.read_text()}"
            )
        self._finish(scenario, run, f"{scenario.name}, SIGKILL")

    def two_writers(self, scenario: Scenario, longest: float) -> None:
        """Let two processes start or resume the same run, and kill one of them now and then."""
        run, logs = self._place(scenario.before), [self.folder / f"log-{k}.txt" for k in range(2)]
        children = []
        for log in logs:
            children.append(start_child(lambda: scenario.act(run), log))
            time.sleep(self.random.choice((0.0, self.random.uniform(0, longest))))
        if self.random.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(children), signal.SIGKILL)
        statuses = [wait_for(child) for child in children]
        self.tally.counts["two writers"] += 1
        for status, log in zip(statuses, logs, strict=True):
            said = log.read_text(errors="replace")
            right = status in (0, KILLED) or (status == 2 and ("in use by" in said or "already exists" in said))
            self.tally.check(right, f"{scenario.name}, two writers: status {status}: {said[-2000:]}")
        self._finish(scenario, run, f"{scenario.name}, two writers {statuses}")

    def kill_the_measuring(self, run: Path) -> None:
        """Kill an evaluation at each of its file operations; the next one finds the same and leaves nothing behind."""
        in_child(lambda: evaluate(load_runs(run, "cpu")[0]), self.log)
        expected = (run / "evaluation.json").read_bytes()
        for at in range(100):

            def work(at: int = at) -> None:
                Faults(run, at, "kill").arm()
                evaluate(load_runs(run, "cpu")[0])

            status = in_child(work, self.log)
            self.tally.counts["kill"] += 1
            in_child(lambda: evaluate(load_runs(run, "cpu")[0]), self.log)
            left = [file.name for file in run.rglob(".*") if PART.fullmatch(file.name)]
            same = (run / "evaluation.json").read_bytes() == expected
            self.tally.check(same and not left, f"evaluation killed at {at}: {left}")
            if status == 0:
                return


def signals_to_the_command(campaign: Campaign, count: int) -> None:
    """Send signals to the command at random moments, and resume it until it ends."""
    folder, tally, log = campaign.folder, campaign.tally, campaign.log
    recipe, whole = folder / "tiny.toml", folder / "whole"
    recipe.write_text(recipes.dump(tiny_recipe(campaign.data, 20)))

    def command(run: Path) -> None:
        status = cli.run(["train", str(recipe), "--device", "cpu", "--resume", "--run", str(run)])
        sys.stderr.flush()
        os._exit(status)

    started = time.monotonic()
    if in_child(lambda: command(whole), log):
        raise SystemExit(f"the undisturbed command failed\n{log.read_text()}")
    longest = time.monotonic() - started
    expected = outcome(whole)
    for number in range(count):
        run = folder / f"real-{number}"
        for _ in range(3):
            signum = campaign.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1))
            status = in_child(lambda run=run: command(run), log, campaign.random.uniform(0, 1) * longest, signum)  # type: ignore[misc]
            tally.counts["signal to the command"] += 1
            said = log.read_text(errors="replace")
            right = status in (0, KILLED, 143, 129, 75) and "Traceback" not in said
            tally.check(right, f"the command after signal {signum} ended with status {status}: {said[-1000:]}")
        status = in_child(lambda run=run: command(run), log)  # type: ignore[misc]
        tally.check(status == 0, f"the command resumed with status {status}: {log.read_text()[-1000:]}")
        tally.check(status != 0 or outcome(run) == expected, "the command ends with other bits")


def part_of(text: str) -> tuple[int, int]:
    """Read `i/n`."""
    part, parts = (int(word) for word in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part, parts


def together(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compute the totals of the parts that have been run."""
    reports = [parts[name] for name in sorted(parts, key=part_of)]
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report["faults"])
    failures = [failure for report in reports for failure in report["failures"]]
    return {
        "faults": dict(counts),
        "kills": sum(counts[kind] for kind in ("kill", "tear", "SIGKILL", "signal to the command")),
        "mutated_files": counts["mutated files"],
        "kinds_of_files": reports[0]["kinds_of_files"],
        "failures": failures,
        "tracebacks": sum("Traceback" in failure for failure in failures),
        "hangs": sum(f"status {HANGS}" in failure for failure in failures),
        "peak_memory_mib": max(report["peak_memory_mib"] for report in reports),
        "seconds": sum(report["seconds"] for report in reports),
        "parts": parts,
    }


def main() -> None:
    """Run all of it, print and write."""
    from mutations import KINDS, damage_files

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutations", type=int, default=8000, help="damaged files of each kind")
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th file operation")
    parser.add_argument("--writers", type=int, default=40, help="trials with two writers")
    parser.add_argument("--processes", type=int, default=5, help="commands that get signals, three times each")
    parser.add_argument("--part", type=part_of, default=(1, 1), help="i/n: the i-th of n parts of everything above")
    parser.add_argument("--output", type=Path, help="JSON file; other parts in it are kept")
    options = parser.parse_args()
    part, parts = options.part
    share = lambda count: len(range(part - 1, count, parts))  # noqa: E731
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        campaign = Campaign(Path(temporary), options.seed * parts + part - 1)
        tally = campaign.tally
        for scenario in campaign.scenarios():
            print(f"{scenario.name}: {scenario.operations} file operations", file=sys.stderr)
            places = enumerate(range(options.seed % options.every, scenario.operations, options.every))
            for turn, at in itertools.islice(places, part - 1, None, parts):
                second = campaign.random.randrange(scenario.operations) if turn % 3 == 0 else None
                campaign.disturb(scenario, "kill", at, again=second)
                if turn % 4 == 0:
                    campaign.disturb(scenario, "tear", at)
                if turn % 5 == 0:
                    campaign.disturb(scenario, "full", at)
            for _ in range(max(1, share(options.writers) // 8)):
                campaign.two_writers(scenario, 0.2)
                campaign.kill_for_real(scenario, 0.3)
        run = campaign.folder / "measured"
        in_child(lambda: campaign.train(run), campaign.log)
        if part == 1:
            campaign.kill_the_measuring(run)
        signals_to_the_command(campaign, share(options.processes))
        kills_s = time.monotonic() - started
        seed = options.seed * parts + part - 1
        damage_files(campaign.folder / "mutations", run, share(options.mutations), seed, tally)
    report = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "faults": dict(tally.counts),
        "kinds_of_files": list(KINDS),
        "failures": tally.failures,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "seconds": round(time.monotonic() - started),
        "seconds_of_kills": round(kills_s),
    }
    others = {}
    if options.output and options.output.exists():
        found = json.loads(options.output.read_text(encoding="utf-8")).get("parts", {})
        others = {name: report for name, report in found.items() if part_of(name)[1] == parts}
    text = json.dumps(together({**others, f"{part}/{parts}": report}), indent=1)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
