"""CUDA graphs: a whole step is captured once and then replayed, so that a GPU does not wait for Python to launch kernels.

A step is a pure tensor program: fixed shapes, everything on the device, random numbers from generators that the graph knows.
Learning rates and the list of phases are captured too; where they change, the step is captured again.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aae.priors import FromSampler

Step = Callable[[Tensor, Tensor | None], Tensor]
"""From the indices of a mini-batch and a labelled one to the metrics."""

WARM_UP = 3  # steps before the capture: libraries choose their kernels and take their workspaces


def unsupported_reason(module: nn.Module) -> str | None:
    """Return why the steps of a model are neither captured nor compiled, None if they can be.

    A replay and a compiled program repeat tensor operations, and no Python. Of the modules of this package and of torch, and of
    the priors of this package that are no function of a user, it is known that nothing else happens in them.
    """
    for submodule in module.modules():
        for kind in (type(submodule), type(getattr(submodule, "prior", None))):
            if kind.__module__.partition(".")[0] not in ("aae", "torch", "builtins") or kind is FromSampler:
                return f"it is not known whether {kind.__name__} does the same in every step"
    return None


class StepGraph:
    """Runs a step: the first few as they are, then by replaying a graph.

    Parameters
    ----------
    step : callable
        Takes index tensors of always the same shapes.
    generators : sequence of torch.Generator
        What the step draws from, beside torch's own.
    unsupported_reason : str, optional
        Why nothing can be captured. It is said in one line on stderr, and every step runs as it is; so it does where a
        capture fails.
    """

    def __init__(
        self, step: Step, generators: Sequence[torch.Generator], unsupported_reason: str | None = None
    ) -> None:
        self._step = step
        self._generators = list(generators)
        self._capturing = True
        self._key: object = None
        self._warm = 0
        self._replay: Callable[[], Tensor] | None = None
        self._inputs: tuple[Tensor, Tensor | None]
        self._stream: Any = None
        if unsupported_reason is not None:
            self._give_up(unsupported_reason)

    def __call__(self, key: object, indices: Tensor, labelled: Tensor | None) -> Tensor:
        """Run one step; `key` stands for all that is not in the tensors: phases and learning rates."""
        if not self._capturing:
            return self._step(indices, labelled)
        if key != self._key:
            self._key, self._warm, self._replay = key, 0, None
        if self._replay is None and self._warm < WARM_UP:
            self._warm += 1
            return self._aside(lambda: self._step(indices, labelled))
        if self._replay is None:
            self._inputs = indices.clone(), None if labelled is None else labelled.clone()
            states = [generator.get_state() for generator in self._generators]
            try:
                self._replay = self._capture()
            except RuntimeError as error:
                for generator, state in zip(self._generators, states, strict=True):
                    generator.set_state(state)
                self._give_up(str(error).strip().partition("\n")[0])
                return self._step(indices, labelled)
        self._inputs[0].copy_(indices)
        if self._inputs[1] is not None and labelled is not None:
            self._inputs[1].copy_(labelled)
        return self._replay().clone()

    def _capture(self) -> Callable[[], Tensor]:
        """Capture a step on `_inputs`; returns what replays it and returns the tensor that the metrics are always in."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            metrics = self._step(*self._inputs)

        def replay() -> Tensor:
            graph.replay()
            return metrics

        return replay

    def _aside(self, work: Callable[[], Tensor]) -> Tensor:
        """Run on a stream of its own, the one of the capture to come."""
        self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")  # which nothing is accumulated by
            out = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return out

    def _give_up(self, reason: str) -> None:
        self._capturing = False
        print(f"note: steps are not captured as a CUDA graph: {reason}", file=sys.stderr)
