"""Where the random tensors of training and sampling come from."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

# Streams of one seed: what each is for.
INIT, SUBSET, ORDER, LABELLED_ORDER, STEPS, SAMPLES, CODES, LIKELIHOOD = range(8)
_guard, _inside, _outside = threading.Lock(), 0, torch.empty(0)  # of `seeded`


class Noise:
    """A seeded stream of random tensors on one device.

    Everything random in a training step (prior samples, input noise, dropout, posterior noise) is drawn from one such
    stream that is handed down explicitly, so that a run is a function of its seed and its state can be saved.

    Parameters
    ----------
    seed : int
        Seed of the run, 0 or larger.
    *stream : int
        Separates independent uses of one seed (initialization, batch order of epoch 3, training noise, ...). Uses that count
        something have one number more than others, and never share their first one with them.
    device : str or torch.device
        Where the tensors are made.
    """

    def __init__(self, seed: int, *stream: int, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device)
        # 63 bits of a hash of all numbers: neighbouring seeds and streams share nothing. The hash takes a number that is
        # missing for a 0, and a large one for two, so that these have a mark behind them.
        numbers = [seed, *stream]
        mark = [2**32 - 1, len(numbers)] if not stream or max(numbers) >= 2**32 else []
        state = np.random.SeedSequence([*numbers, *mark]).generate_state(1, np.uint64)[0]
        self.generator.manual_seed(int(state >> np.uint64(1)))

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers of the given shape."""
        return torch.randn(shape, generator=self.generator, device=self.device, dtype=torch.float32)

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1) of the given shape."""
        return torch.rand(shape, generator=self.generator, device=self.device, dtype=torch.float32)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw uniform integers in [0, high) of the given shape, as int64."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def drawing_for(self, rows: int) -> AbstractContextManager[object]:
        """Say for how many rows of this process is drawn next; of no meaning where one process draws for all."""
        return nullcontext()

    def drawing_together(self) -> AbstractContextManager[object]:
        """Say that what is drawn next is for the whole mini-batch, not for rows of it; of no meaning where one draws for all."""
        return nullcontext()

    def seed(self) -> int:
        """Draw a seed for a generator that is not of this package."""
        return int(torch.randint(2**62, (), generator=self.generator, device=self.device))

    def permutation(self, n: int) -> Tensor:
        """Draw a random order of ``0 .. n - 1``, as int64."""
        return torch.randperm(n, generator=self.generator, device=self.device)


class MetaNoise(Noise):
    """Stands in for a stream where only shapes are wanted: its tensors are on the device "meta" and take no memory."""

    def __init__(self) -> None:
        self.device = torch.device("meta")

    def normal(self, *shape: int) -> Tensor:
        """Return a tensor of the given shape."""
        return torch.empty(shape, device=self.device)

    uniform = normal

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return an int64 tensor of the given shape."""
        return torch.empty(shape, dtype=torch.int64, device=self.device)

    def permutation(self, n: int) -> Tensor:
        """Return an int64 tensor of n numbers."""
        return self.integers(n, n)


class SharedNoise(Noise):
    """The slice of one process of a stream that several processes share.

    Every process draws for the whole mini-batch and keeps what belongs to its own rows, so that all of them together use the
    numbers that one process would.

    Parameters
    ----------
    rank, world_size : int
        Which of how many processes this is.
    seed, *stream, device
        As for `Noise`.

    Attributes
    ----------
    rows : int
        Rows of this process in the mini-batch at hand. What is drawn is for so many rows, or for several such blocks below
        each other (prior samples and codes).
    """

    def __init__(self, rank: int, world_size: int, seed: int, *stream: int, device: str | torch.device = "cpu") -> None:
        super().__init__(seed, *stream, device=device)
        self.rank, self.world_size = rank, world_size
        self.rows = 1

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers of the given shape."""
        return self._own(super().normal(*self._whole(shape)))

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1) of the given shape."""
        return self._own(super().uniform(*self._whole(shape)))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw uniform integers in [0, high) of the given shape, as int64."""
        return self._own(super().integers(high, *self._whole(shape)))

    @contextmanager
    def drawing_for(self, rows: int) -> Iterator[None]:
        """Set `rows` for a while."""
        before, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = before

    @contextmanager
    def drawing_together(self) -> Iterator[None]:
        """Let every process draw the same numbers for a while, those that one alone would."""
        before = self.rank, self.world_size, self.rows
        self.rank, self.world_size, self.rows = 0, 1, 1
        try:
            yield
        finally:
            self.rank, self.world_size, self.rows = before

    def seed(self) -> int:
        """Draw a seed, for each process another."""
        return super().seed() + self.rank

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] * self.world_size, *shape[1:])

    def _own(self, whole: Tensor) -> Tensor:
        blocks = len(whole) // (self.world_size * self.rows)
        return whole.view(blocks, self.world_size, self.rows, *whole.shape[1:])[:, self.rank].flatten(0, 1)


def torch_state(device: torch.device) -> dict[str, Tensor]:
    """Fetch the states of torch's global generators, for custom modules that draw from them; named as in a checkpoint."""
    states = {"torch": torch.get_rng_state()}
    return states | {"torch_cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_torch_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go back to what `torch_state` fetched; what is not in it stays as it is."""
    torch.set_rng_state(states["torch"])
    if "torch_cuda" in states:
        torch.cuda.set_rng_state(states["torch_cuda"], device)


@contextmanager
def seeded(seed: int, device: str | torch.device = "cpu") -> Iterator[None]:
    """Seed torch's global generators, for the user's custom modules that draw from them, and give them back as they were."""
    global _outside, _inside
    torch_device = torch.device(device)
    with _guard:
        if _inside == 0:
            _outside = torch.get_rng_state()
        _inside += 1
    try:
        with torch.random.fork_rng(devices=[torch_device] if torch_device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        with _guard:
            _inside -= 1
            if _inside == 0:  # threads that train at once share these generators: the last of them gives them back
                torch.set_rng_state(_outside)
