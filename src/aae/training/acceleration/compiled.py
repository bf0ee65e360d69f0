"""Compiled steps: on a CPU a whole step is traced once, and torch's compiler makes one program of it.

The hundreds of small operations around the matrix products are put together: activations with casts, gradients with the updates
that they go into. What is traced is a pure tensor program; indices, learning rates and random numbers are what it is given.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from aae.errors import InputError, InterruptedTrainingError
from aae.noise import Noise
from aae.training.acceleration.matmul import replace_matmuls
from aae.training.signals import stopped_at_once

Step = Callable[[Tensor, "Tensor | None", "Noise | None", "dict[str, Tensor] | None"], Tensor]
"""From the indices of a mini-batch and a labelled one, what to draw from and the learning rate of each phase, to the metrics."""

WORTH_A_LINE = 5.0  # seconds of compiling; what torch finds in its cache of compiled programs takes fewer
BEFORE = "steps are being compiled: up to a minute or two the first time, seconds where torch has them in its cache"

Call = tuple[str, tuple[int, ...]]
"""A method of `Noise` and its arguments."""

BACKEND = "inductor"
OWN_NUMBERS = "a module draws random numbers of its own"


class RecordedNoise(Noise):
    """Stands in for a stream of random tensors while a step is traced.

    Parameters
    ----------
    given : sequence of Tensor, optional
        What is drawn, in order; without it zeros.

    Attributes
    ----------
    calls : list of (str, tuple of int)
        Methods of `Noise` that were called, with their arguments.
    """

    def __init__(self, given: Sequence[Tensor] | None = None) -> None:
        self.device = torch.device("cpu")
        self.calls: list[Call] = []
        self._given = given

    @property
    def generator(self) -> torch.Generator:  # type: ignore[override]
        """Refuse, as `seed`."""
        raise RuntimeError(OWN_NUMBERS)

    def normal(self, *shape: int) -> Tensor:
        """Return the next tensor."""
        return self._next("normal", shape, torch.zeros(shape, dtype=torch.float32))

    def uniform(self, *shape: int) -> Tensor:
        """Return the next tensor."""
        return self._next("uniform", shape, torch.zeros(shape, dtype=torch.float32))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Return the next tensor."""
        return self._next("integers", (high, *shape), torch.zeros(shape, dtype=torch.int64))

    def permutation(self, n: int) -> Tensor:
        """Return the next tensor."""
        return self._next("permutation", (n,), torch.arange(n))

    def seed(self) -> int:
        """Refuse: what is drawn elsewhere cannot be given to a program."""
        raise RuntimeError(OWN_NUMBERS)

    def _next(self, method: str, arguments: tuple[int, ...], stand_in: Tensor) -> Tensor:
        self.calls.append((method, arguments))
        return stand_in if self._given is None else self._given[len(self.calls) - 1]


class ForbidDataDependentOps(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses to read a number of a tensor into Python: a program would keep it for all steps to come."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `function` if it gives tensors."""
        if torch.Tag.data_dependent_output in function.tags:
            raise RuntimeError(f"what a module does depends on a number ({function})")
        return function(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Program:
    """A compiled step and what is to be drawn for it, in this order."""

    calls: list[Call]
    run: Callable[..., Tensor]


class CompiledStep:
    """Runs a step as a compiled program, one for each list of phases.

    Parameters
    ----------
    step : callable
        Takes index tensors of always the same shapes. Given learning rates it must consist of tensor operations alone.
    noise : Noise
        What the step draws from, which it does in the same order every time.
    state : callable
        Lists all tensors that the step changes, as they are while it runs.
    unsupported_reason : str, optional
        Why nothing can be compiled. It is said in one line on stderr, and every step runs as it is; so it does where tracing
        or compiling fails.
    required : bool
        Whether the first step has to be compiled, as it was in the training that goes on: otherwise its end has other bits.

    Attributes
    ----------
    compiling : bool
        Whether nothing has stood in the way so far.
    """

    def __init__(
        self,
        step: Step,
        noise: Noise,
        state: Callable[[], Sequence[Tensor]],
        unsupported_reason: str | None = None,
        *,
        required: bool = False,
    ) -> None:
        self._step, self._noise, self._state, self._required = step, noise, state, required
        self.compiling = True
        self._programs: dict[tuple[str, ...], Program] = {}
        self._said = False
        if unsupported_reason is not None:
            self._give_up(unsupported_reason)

    @property
    def begun(self) -> bool:
        """Whether a step was made, compiled or not."""
        return bool(self._programs) or not self.compiling

    def __call__(self, key: Sequence[tuple[str, float]], indices: Tensor, labelled: Tensor | None) -> Tensor:
        """Run one step; `key` has the phases and their learning rates."""
        if not self.compiling:
            return self._step(indices, labelled, None, None)
        names = tuple(name for name, _ in key)
        rates = torch.tensor([rate for _, rate in key], dtype=torch.float32)
        inputs = [rates, indices] if labelled is None else [rates, indices, labelled]
        if names in self._programs:
            program = self._programs[names]
            return program.run(*inputs, *_draw(self._noise, program.calls))
        if not self._said:
            print(f"note: {BEFORE}", file=sys.stderr, flush=True)
        self._said = True
        state, started = self._state(), time.monotonic()
        before, random = [tensor.clone() for tensor in state], self._noise.generator.get_state()

        def restore() -> None:
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)
            self._noise.generator.set_state(random)

        try:
            with warnings.catch_warnings(action="ignore"), stopped_at_once():  # warnings of torch about itself
                program = self._trace(names, inputs)
                restore()  # tracing executes what depends on no input, such as the decay of a momentum
                metrics = program.run(*inputs, *_draw(self._noise, program.calls))  # which compiles it first
        except (KeyboardInterrupt, InterruptedTrainingError):  # of signals: the step is still to be done
            restore()
            _call_compilers_off()
            raise
        except Exception as error:  # whatever a tracer and a compiler may raise: the step runs without them
            restore()
            cause = getattr(error, "inner_exception", error)
            self._give_up(str(cause).strip().partition("\n")[0] or type(cause).__name__)
            return self._step(indices, labelled, None, None)
        self._programs[names], self._required = program, False
        seconds = time.monotonic() - started
        if seconds >= WORTH_A_LINE:
            print(f"note: steps were compiled in {seconds:.0f} s", file=sys.stderr)
        return metrics

    def _trace(self, names: tuple[str, ...], inputs: list[Tensor]) -> Program:
        """Trace a step on tensors without numbers: once for what it draws, once more with that as inputs."""
        draws = RecordedNoise()

        def traced(rates: Tensor, indices: Tensor, *rest: Tensor) -> Tensor:
            labelled, given = (rest[0], rest[1:]) if len(inputs) == 3 else (None, rest)
            nonlocal draws
            draws = RecordedNoise(given or None)
            with ForbidDataDependentOps():  # type: ignore[no-untyped-call]
                return self._step(indices, labelled, draws, dict(zip(names, rates.unbind(), strict=True)))

        trace = make_fx(traced, tracing_mode="fake", _allow_non_fake_inputs=True)
        trace(*inputs)
        calls = draws.calls
        graph = trace(*inputs, *_draw(Noise(0), calls))
        replace_matmuls(graph)
        return Program(calls, torch.no_grad()(torch.compile(graph, backend=BACKEND, dynamic=False, fullgraph=True)))

    def _give_up(self, reason: str) -> None:
        if self._required:
            raise InputError(
                f"steps were compiled until now and cannot be any more: {reason}; expected a machine that compiles them, "
                "without which the run would end with other bits"
            )
        self.compiling = False
        print(f"note: steps are not compiled: {reason}", file=sys.stderr)


def _draw(noise: Noise, calls: Sequence[Call]) -> list[Tensor]:
    return [getattr(noise, method)(*arguments) for method, arguments in calls]


def _call_compilers_off() -> None:
    """Take from torch's queue what no compiler has begun: a process that ends waits for all of it."""
    from torch._inductor.async_compile import AsyncCompile

    if AsyncCompile.pool.cache_info().currsize:  # there is none with one thread
        AsyncCompile.pool().shutdown(wait=False, cancel_futures=True)
        AsyncCompile.pool.cache_clear()
