"""Where trainings run: in this process, in several of this machine, or as jobs of a cluster that others schedule."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from aae.errors import InputError, InterruptedTrainingError, needs_extra, reason
from aae.training.signals import SIGNALS, leaves_on_request

WATCH_SECONDS = 1.0  # between two looks at whether the command is still there
GRACE_SECONDS = 30.0  # for a checkpoint, when it is not
TIMEOUT_MINUTES = 240  # of a job, which is put into the queue again when its time is over

JOBS = "jobs"  # folder of what jobs of a cluster write
LEAVING = [name for name in SIGNALS if name != "SIGINT"]

Work = Callable[[int], None]
"""What a worker does, given its number from 0; it takes what is open until nothing is."""


class NotStartedError(InputError):
    """No worker could be started; the message is one line that says why."""


class WorkerKilledError(Exception):
    """A worker was killed, mostly by a system that had no memory left."""


@dataclass(frozen=True)
class Execution:
    """How many workers there are, and where.

    Attributes
    ----------
    jobs : int, optional
        Number of workers; -1: one for each processor. By default one, on Slurm and Dask as many as there is room for.
    dask : str, optional
        Address of a Dask scheduler, whose workers then work.
    slurm : mapping, optional
        Parameters of submitit, such as ``{"timeout_min": 240, "slurm_partition": "gpu"}``: the workers are an array of jobs.
    cluster : {"slurm", "local"}
        Executor of submitit; the local one starts processes, to try things out.

    Notes
    -----
    In Python any backend of joblib will do: ``with joblib.parallel_config("dask"): aae.sweep(...)``.
    """

    jobs: int | None = None
    dask: str | None = None
    slurm: Mapping[str, Any] | None = None
    cluster: str = field(default="slurm")

    def check(self) -> None:
        """Check that it can be.

        Raises
        ------
        InputError
            If a number of workers is not at least 1, two places are named, what one needs is not installed, or no scheduler
            answers.
        """
        jobs = self.jobs
        if jobs is not None and (
            isinstance(jobs, bool) or not isinstance(jobs, int | np.integer) or (jobs < 1 and jobs != -1)
        ):
            raise InputError(f"jobs is {jobs!r}; expected 1 or more, or -1 for one on each processor")
        if self.slurm is not None and not isinstance(self.slurm, Mapping):
            raise InputError(f"slurm is {self.slurm!r}; expected a mapping of parameters of submitit")
        if self.dask is not None and not isinstance(self.dask, str):
            raise InputError(f"dask is {self.dask!r}; expected the address of a scheduler")
        if self.dask is not None and self.slurm is not None:
            raise InputError("found both a Dask scheduler and Slurm; expected one of them")
        if self.dask is not None:
            with ExitStack() as stack:
                _connect(self.dask, stack)
        if self.slurm is not None:
            with TemporaryDirectory() as folder:
                self._executor(Path(folder))

    def run(self, work: Work, folder: Path) -> None:
        """Have all workers do `work` and wait for them; `folder` holds what Slurm's jobs write.

        Raises
        ------
        NotStartedError
            If the scheduler takes no work.
        InterruptedTrainingError
            After a signal; workers of this machine are stopped.
        WorkerKilledError
            If a worker of this machine was killed.
        """
        if self.slurm is not None:
            self._submit(work, folder)
            return
        with ExitStack() as stack:
            stack.enter_context(leaves_on_request(LEAVING))
            if self.dask is not None:
                _connect(self.dask, stack)
                joblib_jobs = self.jobs or -1
            else:
                joblib_jobs = self.jobs or (1 if _is_plain() else -1)
            count = joblib.effective_n_jobs(joblib_jobs)
            if self.dask is None and _is_plain():
                if count == 1:
                    work(0)
                    return
                threads = max(1, joblib.cpu_count() // count)
                stack.enter_context(joblib.parallel_config("loky", inner_max_num_threads=threads))
                work = _LocalWork(work, threads, os.getpid())
            try:
                joblib.Parallel(n_jobs=count, pre_dispatch="all", batch_size=1)(
                    joblib.delayed(_do)(work, k) for k in range(count)
                )
            except TerminatedWorkerError:
                raise WorkerKilledError from None

    def run_apart(self, work: Work) -> None:
        """Have one worker do `work` in a process of its own, which may be killed; raises as `run`."""
        apart = _LocalWork(work, max(1, joblib.cpu_count() // joblib.effective_n_jobs(self.jobs or 1)), os.getpid())
        try:
            joblib.Parallel(n_jobs=2, backend="loky", batch_size=1)([joblib.delayed(_do)(apart, 0)])
        except TerminatedWorkerError:
            raise WorkerKilledError from None

    def at_most(self, workers: int) -> Execution:
        """Return it with no more workers than there is work for."""
        jobs = self.jobs
        if jobs == -1 and self.slurm is None and self.dask is None:
            jobs = joblib.effective_n_jobs(-1)
        return self if jobs is None or jobs <= workers else replace(self, jobs=max(1, workers))

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit
        except ImportError:
            raise needs_extra("Slurm", "slurm") from None
        given = {"name": "aae", "timeout_min": TIMEOUT_MINUTES, **(self.slurm or {})}
        of_executor = {key: given.pop(key) for key in [*given] if key.endswith("_max_num_timeout")}
        try:
            executor = submitit.AutoExecutor(folder=folder / JOBS, cluster=self.cluster, **of_executor)
            executor.update_parameters(**given)
        except (RuntimeError, NameError, ValueError, AssertionError, TypeError) as error:
            raise InputError(
                f"slurm: {reason(error)}; expected a cluster with srun, and parameters of submitit"
            ) from None
        return executor

    def _submit(self, work: Work, folder: Path) -> None:
        own = folder / JOBS
        before = set(own.iterdir()) if own.exists() else None
        executor = self._executor(folder)
        try:
            with redirect_stderr(io.StringIO()) as said:
                jobs = executor.map_array(ClusterWork(work), list(range(max(1, self.jobs or 1))))
        except (RuntimeError, OSError) as refusal:  # which has the words of sbatch
            for path in set(own.iterdir()) - (before or set()):
                path.unlink(missing_ok=True)
            if before is None:
                own.rmdir()
            raise NotStartedError(f"slurm: {reason(refusal)}; expected a queue that takes the jobs") from None
        sys.stderr.write(said.getvalue())
        with leaves_on_request(LEAVING):
            for job in jobs:
                error = job.exception()
                if error is not None:
                    raise InputError(
                        f"job {job.job_id}: {str(error).strip().splitlines()[-1]}; its log is {job.paths.stderr}"
                    )


def _do(work: Work, number: int) -> None:
    work(number)


class ClusterWork:
    """Work as a job of submitit, which a scheduler may stop before its time and put into the queue again."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, number: int) -> None:
        """Do it; what the scheduler sends when time is nearly up writes a checkpoint first."""
        from submitit.core.job_environment import JobEnvironment

        number_of_signal = JobEnvironment._usr_sig()
        requeue = signal.getsignal(number_of_signal)
        stopped: list[int] = []

        def stop(received: int, frame: Any) -> None:
            stopped.append(received)
            os.kill(os.getpid(), signal.SIGTERM)  # to which a training answers with a checkpoint

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with leaves_on_request(["SIGTERM"]):
            signal.signal(number_of_signal, stop)
            try:
                self.work(number)
            except InterruptedTrainingError:
                if not stopped or not callable(requeue):
                    raise
                requeue(stopped[0], None)
            finally:
                signal.signal(number_of_signal, requeue)

    def checkpoint(self, number: int) -> Any:
        """Return what the job does when it is its turn again: the same, since run folders know how far they are."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


class _LocalWork:
    """Work in a process of this machine, with its share of the threads, which ends with the process that has started it."""

    def __init__(self, work: Work, threads: int, parent: int) -> None:
        self.work, self.threads, self.parent = work, threads, parent

    def __call__(self, number: int) -> None:
        torch.set_num_threads(self.threads)
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            self.work(number)
        finally:
            done.set()
            watch.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(WATCH_SECONDS / 4):
            if os.getppid() != self.parent:
                os.kill(os.getpid(), signal.SIGTERM)
                done.wait(GRACE_SECONDS)
                os._exit(SIGNALS["SIGTERM"])


def _is_plain() -> bool:
    """Check whether nobody has chosen another backend of joblib around this."""
    with joblib.parallel_config():
        backend, _ = joblib.parallel.get_active_backend()
    return type(backend).__name__ in ("LokyBackend", "SequentialBackend")


def _connect(address: str, stack: ExitStack) -> None:
    try:
        import distributed
    except ImportError:
        raise needs_extra("Dask", "dask") from None
    try:
        stack.enter_context(distributed.Client(address, timeout=10))  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise NotStartedError(f"dask: {address}: {reason(error)}; expected the address of a scheduler") from None
    stack.enter_context(joblib.parallel_config("dask"))


def wait_a_moment(seconds: float = 2.0) -> None:
    """Wait for others."""
    time.sleep(seconds)
