"""One setting of one recipe with its seeds: where its runs are, how far they are, and its training."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from aae.data import Dataset
from aae.device import choose_device
from aae.errors import (
    InputError,
    InterruptedTrainingError,
    InUseError,
    TrainingError,
    printable,
    ran_out_of_memory,
    reason,
)
from aae.files import read_object, write_json
from aae.recipes import Recipe
from aae.recipes.build_data import load_data
from aae.recipes.schema import DataSettings
from aae.runs.recipe import read_recipe
from aae.runs.seeds import train_seeds, with_least_steps, with_seeds
from aae.runs.train import train
from aae.sweeps.space import Settings, overrides
from aae.training.callbacks import AnyCallback
from aae.training.run_directory import RunDirectory

OF_THE_PLACE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "EMFILE", "ENFILE")
    if hasattr(errno, name)  # some systems have fewer
}

_one_at_a_time = threading.Lock()  # a training changes state of the whole process
_loaded: tuple[DataSettings, Dataset] | None = None


class PrunedError(Exception):
    """A trial is so far behind others that it is not trained any further."""


@dataclass(frozen=True)
class Trial:
    """One setting of one recipe.

    Attributes
    ----------
    recipe : Recipe
        With the setting, and the first seed.
    settings : dict
        What differs from the recipe of the sweep.
    folder : Path
        Holds ``seed-0`` and so on.
    seeds : int
        How many, from ``training.seed`` on.
    """

    recipe: Recipe
    settings: Settings
    folder: Path
    seeds: int

    @classmethod
    def create(cls, recipe: Recipe, settings: Settings, sweep_folder: Path, seeds: int) -> Trial:
        """Create the trial of a setting; its folder has a name that is the same wherever and whenever it is trained.

        Raises
        ------
        InputError
            If a key does not exist or a value is none of it.
        """
        folder = folder_of(recipe.name, settings, sweep_folder)
        return cls(read_recipe(recipe, overrides(settings)), settings, folder, seeds)

    @property
    def each(self) -> list[Recipe]:
        """The recipe with each seed."""
        return with_seeds(self.recipe, self.seeds)

    def run(self, recipe: Recipe) -> RunDirectory:
        """Return the run folder of a seed."""
        return RunDirectory(self.folder / f"seed-{recipe.training.seed}")

    def failure(self, recipe: Recipe) -> Path:
        """Return the file that says why a seed failed."""
        return self.folder / f"seed-{recipe.training.seed}.failed.json"

    def is_begun(self, recipe: Recipe) -> bool:
        """Check whether a worker has begun with a seed, even if it came to no checkpoint."""
        return any((self.folder / name).exists() for name in (self._log([recipe]), self._log(self.each)))

    def result(self, recipe: Recipe, metric: str) -> float | str | None:
        """Read the metric of a seed after its last epoch, or after that whose weights it kept.

        Returns
        -------
        float, str or None
            The metric, why there is none - the seed failed, or what it left is damaged -, or None for one that is not finished.
        """
        try:
            if not self.is_finished(recipe):
                return self._why_failed(recipe)
            about = self.run(recipe).read_metadata()
            last = about.get("best_epoch") or about["epochs"]
            value = next((r.get(metric) for r in self.run(recipe).read_metrics() if r["epoch"] == last), None)
        except InputError as error:
            return _damaged(error)
        return f"{self.run(recipe).metrics}: has no {metric} of epoch {last}" if value is None else float(value)

    def values(self, metric: str) -> list[float]:
        """Read the metric of every finished seed."""
        return [found for recipe in self.each if isinstance(found := self.result(recipe, metric), float)]

    def failures(self, metric: str = "") -> list[str]:
        """List why seeds failed; with a metric also why there is none of one that is finished."""
        found = [self.result(recipe, metric) if metric else self.failed(recipe) for recipe in self.each]
        return [why for why in found if isinstance(why, str)]

    def is_finished(self, recipe: Recipe) -> bool:
        """Check whether a seed was trained as long as it is to be, or until early stopping ended it.

        Raises
        ------
        InputError
            If its run folder is damaged.
        """
        folder = self.run(recipe)
        done = folder.finished_epochs()
        if not done:
            return False
        about = folder.read_metadata()
        asked = with_least_steps(recipe, about["training_rows"]).training.epochs
        return asked in (done, about.get("ended_before"))

    def failed(self, recipe: Recipe) -> str | None:
        """Read why a seed failed, or what is wrong with its run folder; None: nothing, or it was trained to the end after all."""
        try:
            return None if self.is_finished(recipe) else self._why_failed(recipe)
        except InputError as error:
            return _damaged(error)

    def _why_failed(self, recipe: Recipe) -> str | None:
        path = self.failure(recipe)
        return str(read_object(path).get("reason", "")) if path.exists() else None

    def is_open(self, recipe: Recipe) -> bool:
        """Check whether a seed is neither finished nor failed."""
        try:
            return not self.failure(recipe).exists() and not self.is_finished(recipe)
        except InputError:
            return False

    def open_seeds(self) -> list[Recipe]:
        """List the recipes of the seeds that are neither finished nor failed."""
        return [recipe for recipe in self.each if self.is_open(recipe)]

    def train(
        self,
        seeds: Sequence[Recipe] | None = None,
        device: str = "auto",
        watch: Callable[[Recipe], AnyCallback] | None = None,
    ) -> list[Recipe]:
        """Train what is neither finished nor failed, and write down why what fails does; several seeds on a GPU together.

        Parameters
        ----------
        seeds : sequence of Recipe, optional
            Of `each`; by default all that are open.
        device : {"auto", "cpu", "cuda"}
            Where to train.
        watch : callable, optional
            Returns for a seed a callback of its training; seeds are then trained one after another.

        Returns
        -------
        list of Recipe
            Those that another process trains.

        Raises
        ------
        InterruptedTrainingError
            After a signal.
        PrunedError
            Of what `watch` returns.
        OSError, InputError
            If the disk is full, read-only or gone.
        """
        wanted = self.open_seeds() if seeds is None else list(seeds)
        if not wanted:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        together = len(wanted) == self.seeds > 1 and watch is None and choose_device(device).type == "cuda"
        if together:
            busy = self._guarded(
                wanted, lambda: train_seeds(self.recipe, self.seeds, run=self.folder, device=device, resume=True)
            )
            wanted = [] if busy else self.open_seeds()  # one that diverged ends all: each is trained by itself then
            if busy:
                return list(self.each)
        busy_ones = []
        for recipe in wanted:
            callbacks = [] if watch is None else [watch(recipe)]

            def one(recipe: Recipe = recipe, callbacks: Sequence[AnyCallback] = callbacks) -> object:
                run = self.run(recipe)
                return train(recipe, load(recipe), run=run.path, device=device, resume=True, callbacks=callbacks)

            if self._guarded([recipe], one):
                busy_ones.append(recipe)
        return busy_ones

    @staticmethod
    def _log(seeds: Sequence[Recipe]) -> str:
        return f"seed-{seeds[0].training.seed}.log" if len(seeds) == 1 else "seeds.log"

    def _guarded(self, seeds: Sequence[Recipe], work: Callable[[], object]) -> bool:
        """Call `work`; what it raises is the reason why a seed failed. Returns whether another process trains it."""
        with (
            _one_at_a_time,
            (self.folder / self._log(seeds)).open("a", encoding="utf-8") as file,
            redirect_stderr(file),
        ):
            try:
                work()
            except InUseError:
                return True
            except InterruptedTrainingError:
                raise
            except Exception as error:
                if isinstance(error.__cause__, PrunedError):  # of the callback that watches
                    raise error.__cause__ from None
                if _is_of_the_place(error):
                    raise
                if len(seeds) == 1:
                    traceback.print_exc()
                    write_json(self.failure(seeds[0]), {"reason": _why(error)})
        return False


def folder_of(recipe: str, settings: Settings, sweep_folder: Path) -> Path:
    """Return the folder of a setting."""
    return sweep_folder / recipe / hashlib.sha256(json.dumps(sorted(settings.items())).encode()).hexdigest()[:10]


def _is_of_the_place(error: BaseException | None) -> bool:
    """Check whether an error comes from a disk that is full, read-only or gone, which is no fault of a setting."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_THE_PLACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _why(error: Exception) -> str:
    if ran_out_of_memory(error):
        return f"out of memory ({reason(error)})"
    if isinstance(error, OSError) and error.filename is not None:
        return printable(f"{error.filename}: {error.strerror}")
    if isinstance(error, InputError | TrainingError | OSError):
        return printable(reason(error))
    return f"{type(error).__name__}: {printable(reason(error))}"


def _damaged(error: InputError) -> str:
    return f"{error}; expected what a training has left there, or nothing"


def load(recipe: Recipe) -> Dataset:
    """Load the data of a recipe; within `data_is_kept` it stays for the next one, which mostly has the same with other labels."""
    global _loaded
    rows = recipe.data.model_copy(update={"labels": None})
    kept = _loaded
    if kept is None or kept[0] != rows:
        kept = _loaded = rows, load_data(recipe)
    return kept[1]


@contextmanager
def data_is_kept() -> Iterator[None]:
    """Let go of data that `load` has kept at the end: nobody needs it any more, and files may change until the next time."""
    global _loaded
    try:
        yield
    finally:
        _loaded = None


def most_epochs(recipe: Recipe) -> int:
    """Count the epochs of a training that nothing ends early; what it takes for ``training.min_steps`` depends on the rows."""
    training = recipe.training
    return with_least_steps(recipe, len(load(recipe).train)).training.epochs if training.min_steps else training.epochs


def describe(trial: Trial, recipe: Recipe, metric: str) -> str:
    """Write in a line what became of a seed."""
    words = [trial.recipe.name, *overrides(trial.settings), f"seed {recipe.training.seed}"]
    found = trial.result(recipe, metric) if metric else trial.failed(recipe)
    if isinstance(found, str):
        return f"{' '.join(words)}: failed: {found}"
    if found is None and metric:  # it was stopped on its way
        records = trial.run(recipe).read_metrics()
        found = records[-1].get(metric) if records else None
    return f"{' '.join(words)}: " + ("finished" if found is None else f"{metric} {found:.4g}")


def note(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def is_open_elsewhere(trial: Trial, recipe: Recipe) -> bool:
    """Check whether another process holds the run of a seed."""
    try:
        with trial.run(recipe).lock():
            return False
    except InUseError:
        return True
