"""Several seeds of one recipe trained as one batched program.

Weights, buffers and optimizer states of all trainers are stacked, and every phase runs once for all of them (`torch.func.vmap`
over `torch.func.functional_call`). The trainers hold views of the stacks, so each of them can be measured and saved at any
time as if it had been trained alone; they go on training together. Each keeps its own initial weights, labelled subset,
mini-batches and random numbers; what differs from training it alone is rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from aae.networks import batch_norms
from aae.noise import Noise, set_torch_state, torch_state
from aae.training.acceleration.cuda_graphs import StepGraph, unsupported_reason
from aae.training.acceleration.precision import Bf16Copies, known_weights
from aae.training.acceleration.prefetch import Prefetch
from aae.training.mini_batch import mini_batches
from aae.training.optimizers import Optimizer
from aae.training.phases import Batch, Phase
from aae.training.trainer import Trainer


class BatchedNoise(Noise):
    """The streams of all replicas: what one replica draws comes from its own stream.

    Parameters
    ----------
    streams : sequence of Noise
        One for each replica, all on one device.

    Attributes
    ----------
    replica : Tensor of int64, ()
        Which replica draws; inside `torch.func.vmap` all of them at once.
    """

    def __init__(self, streams: Sequence[Noise]) -> None:
        self.device = streams[0].device
        self.streams = list(streams)
        self.replica = torch.tensor(0)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers of the given shape."""
        return self._own([stream.normal(*shape) for stream in self.streams])

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniform numbers in [0, 1) of the given shape."""
        return self._own([stream.uniform(*shape) for stream in self.streams])

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw uniform integers in [0, high) of the given shape, as int64."""
        return self._own([stream.integers(high, *shape) for stream in self.streams])

    def permutation(self, n: int) -> Tensor:
        """Draw a random order of ``0 .. n - 1``, as int64."""
        return self._own([stream.permutation(n) for stream in self.streams])

    def seed(self) -> int:
        """Refuse: what draws from a generator of its own cannot do so for every replica at once."""
        raise NotImplementedError("a module of the model draws from a generator of its own")

    @property
    def generator(self) -> torch.Generator:  # type: ignore[override]
        """Refuse: one generator cannot draw for every replica at once."""
        raise NotImplementedError("a module of the model draws from the generator itself")

    def _own(self, draws: list[Tensor]) -> Tensor:
        return torch.stack(draws)[self.replica]


class BatchedSeeds:
    """Trainers of one recipe with different seeds, to be trained together.

    Parameters
    ----------
    trainers : sequence of Trainer
        All at the same epoch and step; from now on their weights and states are views of the stacks.

    Raises
    ------
    RuntimeError
        If something in the model cannot be batched; the trainers are as before and can be trained one by one.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        first = self.trainers[0]
        self.module, self.phases, self.device = first.module, first.phases, first.device
        self._call = _Loss(self.module)
        self._index = torch.arange(len(self.trainers), device=self.device)
        self._shared = self.share_rows(self.trainers)
        with ExitStack() as stack:
            for trainer in self.trainers:
                stack.enter_context(trainer.bf16_copies.in_place())
            self._try()
        self._stack()
        self._names: list[str] = []
        self._graph: StepGraph | None = None
        if self.device.type == "cuda":
            generators = [trainer.noise.generator for trainer in self.trainers]
            self._graph = StepGraph(self._compute, generators, unsupported_reason(self.module))

    @staticmethod
    def share_rows(trainers: Sequence[Trainer]) -> bool:
        """Keep in memory once the rows that all trainers have; returns whether they have the same."""
        rows = trainers[0].data.rows
        for trainer in trainers[1:]:
            own = trainer.data.rows
            mapped = own.data_ptr() == rows.data_ptr() and own.shape == rows.shape
            if own is not rows and (mapped or torch.equal(own, rows)):
                trainer.data = replace(trainer.data, rows=rows)
        return all(trainer.data.rows is rows for trainer in trainers)

    def run_epoch(self, on_step: Callable[[], bool] = lambda: False) -> list[dict[str, float]] | None:
        """Run the rest of the present epoch of all trainers; as `Trainer.run_epoch`, with the metrics of each."""
        orders = [trainer.open_epoch() for trainer in self.trainers]
        order = torch.stack([batches for batches, _ in orders], dim=1)  # (steps, replicas, batch)
        given = [labelled for _, labelled in orders if labelled is not None]
        labelled_order = torch.stack(given, dim=1) if given else None
        first = self.trainers[0]
        for name, update in self.optimizers.items():
            update.learning_rate = first.optimizers[name].learning_rate
        history: list[Tensor] = []  # one (replicas, metrics) per step
        with self._bf16_copies.in_place(), Prefetch(first.data.read if self._shared else None, order) as ahead:
            for step in range(first.step, first.steps_per_epoch):
                ahead.reach(step)
                labelled = None if labelled_order is None else labelled_order[step]
                if self._graph is None:
                    history.append(self._compute(order[step], labelled))
                else:
                    history.append(self._graph(first.key, order[step], labelled))
                for trainer in self.trainers:
                    trainer.average_step(step)
                if on_step() and step + 1 < first.steps_per_epoch:
                    break
        for k, trainer in enumerate(self.trainers):
            trainer.note(self._names, [metrics[k] for metrics in history])
        closed = [trainer.close_epoch() for trainer in self.trainers]
        finished = [metrics for metrics in closed if metrics is not None]
        return finished or None

    def _compute(self, indices: Tensor, labelled: Tensor | None) -> Tensor:
        """Run all phases on one mini-batch of each, `indices` are (replicas, batch); returns the metrics (replicas, metrics)."""
        batch = self._batch(indices, labelled, self.noise)
        tensors: dict[str, Tensor] = {**self.parameters, **self.buffers}
        losses = {}
        for phase in self.phases:
            if not phase.runs_in(self.trainers[0].epoch):
                continue
            batch.weights = self.trainers[0].weights[phase.name]
            for _ in range(phase.updates):
                loss = self._loss(phase, tensors, batch, self.noise)
                gradients = phase.gradients(loss.sum(), self._owned[phase.name])
                self.optimizers[phase.name].step(gradients)
            losses[f"{phase.name}_loss"] = loss.detach()
        metrics = losses | batch.metrics
        self._names = list(metrics)
        return torch.stack(list(metrics.values()), dim=1)

    def _batch(self, indices: Tensor, labelled: Tensor | None, noise: BatchedNoise) -> Batch:
        """Gather the mini-batches of all replicas, each (replicas, batch, ...)."""
        data, shift = [trainer.data for trainer in self.trainers], self.trainers[0].settings.shift
        return mini_batches(data, shift, indices, labelled, noise.streams)

    def _loss(self, phase: Phase, tensors: dict[str, Tensor], batch: Batch, noise: BatchedNoise) -> Tensor:
        """Compute the loss of one phase for every replica (replicas,); adds codes and metrics to the batch."""
        parts = {field.name: getattr(batch, field.name) for field in fields(batch)}
        given: dict[str, Any] = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        if batch.codes is not None:
            given["codes"] = batch.codes

        def loss_of_one(tensors: dict[str, Tensor], given: dict[str, Any], replica: Tensor) -> tuple[Tensor, Any, Any]:
            noise.replica = replica
            own = Batch(noise=noise, weights=batch.weights, **given)
            loss: Tensor = functional_call(self._call, tensors, (phase, own))
            return loss, own.codes or {}, own.metrics

        with self.trainers[0].cast, _normalized_in_fp32(self.module):
            loss, codes, metrics = vmap(loss_of_one, randomness="same")(tensors, given, self._index)
        batch.codes = codes or None
        batch.metrics |= metrics
        total: Tensor = loss
        return total

    def _stack(self) -> None:
        """Stack weights, buffers and optimizer states, and let the trainers hold views of the stacks."""
        modules = [trainer.module for trainer in self.trainers]
        known = set(known_weights(self.module)) if self.trainers[0].precision == "bf16" else set()
        self.noise = BatchedNoise([trainer.noise for trainer in self.trainers])
        self.parameters: dict[str, nn.Parameter] = {}
        stacked: dict[nn.Parameter, nn.Parameter] = {}
        for name, own in self.module.named_parameters():
            each = [module.get_parameter(name) for module in modules]
            stack = nn.Parameter(torch.stack([parameter.data for parameter in each]))
            for parameter, view in zip(each, stack.data, strict=True):
                parameter.data = view
            self.parameters[f"module.{name}"] = stacked[own] = stack
        self.buffers: dict[str, Tensor] = {}
        for name, _ in self.module.named_buffers():
            buffers = torch.stack([module.get_buffer(name) for module in modules])
            self.buffers[f"module.{name}"] = buffers
            owner, _, last = name.rpartition(".")
            for module, view in zip(modules, buffers, strict=True):
                module.get_submodule(owner)._buffers[last] = view
        self._bf16_copies = Bf16Copies([stack for own, stack in stacked.items() if own in known])
        self._owned = {phase.name: [stacked[parameter] for parameter in phase.parameters] for phase in self.phases}
        self.optimizers = {name: self._stacked_optimizer(name) for name in self._owned}
        for trainer in self.trainers:
            trainer.bf16_copies = Bf16Copies([])  # the stacks have theirs

    def _stacked_optimizer(self, name: str) -> Optimizer:
        """Create the update of one phase for all replicas, with their states."""
        updates = [trainer.optimizers[name] for trainer in self.trainers]
        together = Optimizer(updates[0].settings, self._owned[name], self._bf16_copies, batched=True)
        for kind, values in together.state.items():
            for index, value in enumerate(values):
                own = [update.state[kind][index] for update in updates]
                alike = value.dim() == 0  # the number of steps
                value.copy_(own[0] if alike else torch.stack(own))
                for k, update in enumerate(updates):
                    update.state[kind][index] = value if alike else value[k]
        return together

    def _try(self) -> None:
        """Compute every loss once, on copies and with other random numbers, so that what cannot be batched shows now."""
        modules = [trainer.module for trainer in self.trainers]
        names = [f"module.{name}" for name in self.module.state_dict(keep_vars=True)]
        states = [module.state_dict() for module in modules]
        tensors = {
            name: torch.stack([state[name.removeprefix("module.")] for state in states]).clone() for name in names
        }
        noise = BatchedNoise([Noise(0, k, device=self.device) for k in range(len(modules))])
        orders = [trainer.open_epoch() for trainer in self.trainers]
        given = [labelled[0] for _, labelled in orders if labelled is not None]
        indices = torch.stack([batches[0] for batches, _ in orders])
        batch = self._batch(indices, torch.stack(given) if given else None, noise)
        before = torch_state(self.device)
        with torch.no_grad():
            for phase in self.phases:
                batch.weights = self.trainers[0].weights[phase.name]
                try:
                    self._loss(phase, tensors, batch, noise)
                except (RuntimeError, NotImplementedError) as error:
                    reason = str(error).strip().partition("\n")[0]
                    raise RuntimeError(f"{reason} (phase {phase.name})") from error
        if any(not torch.equal(state, before[name]) for name, state in torch_state(self.device).items()):
            set_torch_state(before, self.device)
            raise RuntimeError("a module of the model draws from torch itself, which has one stream for all seeds")


@contextmanager
def _normalized_in_fp32(module: nn.Module) -> Iterator[None]:
    """Let batch normalization take its rows in fp32: batched, its gradient within a phase is not known for bf16 rows."""
    hooks = [norm.register_forward_pre_hook(lambda _, rows: (rows[0].float(),)) for norm in batch_norms(module)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Loss(nn.Module):
    """The loss of a phase as the ``forward`` of a module, for `functional_call`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, phase: Phase, batch: Batch) -> Tensor:
        """Compute the loss."""
        return phase.compute(batch)
