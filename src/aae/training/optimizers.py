"""Optimizers of phases, with no more passes over memory than the arithmetic needs.

The arithmetic is that of `torch.optim.SGD` and `torch.optim.Adam`, in torch's own fused kernels. What is left out is their
work in Python around every call, which takes longer than the update of a small network. A compiled step has the same
arithmetic in plain operations.

With bf16 copies of the weights (`aae.training.acceleration.precision`) gradients come in bf16 too. They are upcast into a
buffer that is shared by all weights of the phase, so that on a CPU it stays in the cache, and the copy of a weight is renewed
right after the weight itself has moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aae.training.acceleration.precision import Bf16Copies
from aae.training.settings import OptimizerSettings

EPSILON = 1e-8  # of Adam, as in torch
UPCAST_AT_ONCE = 2**20  # numbers that are upcast together on a CPU: 4 MiB stay in its cache


class Optimizer:
    """The optimizer of one phase.

    Parameters
    ----------
    settings : OptimizerSettings
        Which arithmetic, with which constants.
    parameters : sequence of torch.nn.Parameter
        What the phase owns.
    bf16_copies : aae.training.acceleration.precision.Bf16Copies, optional
        The bf16 copies that some parameters hold while the model trains.
    batched : bool
        Whether each parameter stacks those of several seeds (seeds, ...), whose gradients are clipped each by itself.

    Attributes
    ----------
    learning_rate : float
        The learning rate; changed from outside by the epoch.
    weights : list of Tensor
        The fp32 weight of each parameter.
    state : dict of str to list of Tensor
        What the optimizer remembers, one entry for each parameter; names as in `torch.optim`.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        parameters: Sequence[nn.Parameter],
        bf16_copies: Bf16Copies | None = None,
        *,
        batched: bool = False,
    ) -> None:
        bf16_copies = bf16_copies or Bf16Copies([])
        full = bf16_copies.full
        self.settings = settings
        self.learning_rate = settings.learning_rate_at(0, 0, 1)
        self._batched = batched
        self.weights = [full.get(p, p.data) for p in parameters]
        # What a plain update moves, and the parameter that holds it or its copy.
        self._moved = [(full.get(p, p), p) for p in parameters]
        self.state: dict[str, list[Tensor]] = {}
        if settings.optimizer == "adam":
            self._steps = torch.zeros(len(self.weights), device=self.weights[0].device, dtype=torch.float32)
            self.state["step"] = list(self._steps.unbind())
            self.state["exp_avg"] = [torch.zeros_like(w) for w in self.weights]
            self.state["exp_avg_sq"] = [torch.zeros_like(w) for w in self.weights]
        elif settings.momentum:
            self.state["momentum_buffer"] = [torch.zeros_like(w) for w in self.weights]
        whole = [i for i, p in enumerate(parameters) if p not in full]
        self._groups = [self._group(whole)] if whole else []
        groups = list(_share_out([i for i, p in enumerate(parameters) if p in full], self.weights))
        sizes = [[self.weights[i].numel() for i in group] for group in groups]
        buffer = torch.empty(max(map(sum, sizes), default=0), device=self.weights[0].device, dtype=torch.float32)
        for group, size in zip(groups, sizes, strict=True):
            parts = zip(group, torch.split(buffer[: sum(size)], size), strict=True)
            upcast = [part.as_strided(self.weights[i].shape, self.weights[i].stride()) for i, part in parts]
            self._groups.append(self._group(group, upcast, [bf16_copies.half[parameters[i]] for i in group]))

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], learning_rate: Tensor | None = None) -> None:
        """Move the weights once.

        Parameters
        ----------
        gradients : sequence of Tensor
            In the order of the parameters, bf16 for those that hold copies.
        learning_rate : Tensor, (), optional
            The learning rate. Given as a tensor, the weights are moved by plain operations, which a compiler can put together
            with those around them.
        """
        settings = self.settings
        if settings.clip_norm is not None:
            gradients = self._clipped(gradients, settings.clip_norm)
        if settings.weight_decay:
            self._decay(self.learning_rate if learning_rate is None else learning_rate)
        if learning_rate is not None:
            self._move_plainly([gradient.float() for gradient in gradients], learning_rate)
            return
        if settings.optimizer == "adam":
            self._steps.add_(1)  # of all weights at once, however they are grouped
        for group in self._groups:
            own = [gradients[i] for i in group.indices]
            if not group.half:
                self._move(group, [_laid_out(*pair) for pair in zip(own, group.weights, strict=True)])
                continue
            torch._foreach_copy_(group.upcast, own)
            self._move(group, group.upcast)
            torch._foreach_copy_(group.half, group.weights)

    def _clipped(self, gradients: Sequence[Tensor], largest: float) -> list[Tensor]:
        """Shorten the gradient of the whole phase, of each seed by itself, to a Euclidean norm of at most `largest`."""
        seeds = len(gradients[0]) if self._batched else 1
        squares = [gradient.float().reshape(seeds, -1).square().sum(1) for gradient in gradients]
        factors = (largest / torch.stack(squares).sum(0).sqrt().clamp(min=1e-12)).clamp(max=1)
        return [(gradient.reshape(seeds, -1) * factors[:, None]).view_as(gradient) for gradient in gradients]

    def _decay(self, learning_rate: float | Tensor) -> None:
        """Apply the decoupled weight decay to every weight."""
        for weight, _ in self._moved:
            weight.mul_(1 - learning_rate * self.settings.weight_decay)

    def _move_plainly(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        """Do to every weight what torch's fused kernels do."""
        settings = self.settings
        if settings.optimizer == "adam":
            first, second = settings.betas
            steps = self._steps.add_(1).double()
            # Powers, written so that the compiler computes them first, and not again for every number of a weight.
            powers = [torch.exp(steps * (math.log(beta) if beta else -math.inf)) for beta in settings.betas]
            sizes, roots = (rate / (1 - powers[0])).float(), (1 - powers[1]).sqrt().float()
        for index, (gradient, (weight, parameter)) in enumerate(zip(gradients, self._moved, strict=True)):
            state = {name: values[index] for name, values in self.state.items()}
            if settings.optimizer == "adam":
                mean = state["exp_avg"].lerp_(gradient, 1 - first)
                square = state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
                weight.sub_(sizes[index] * mean / (square.sqrt() / roots[index] + EPSILON))
            elif settings.momentum:
                weight.sub_(rate * state["momentum_buffer"].mul_(settings.momentum).add_(gradient))
            else:
                weight.sub_(rate * gradient)
            if weight is not parameter:
                parameter.copy_(weight)

    def entries(self) -> Iterator[tuple[str, Tensor]]:
        """Return the state piece by piece, named ``<index of the parameter>.<name>``."""
        for index in range(len(self.weights)):
            for name, values in self.state.items():
                yield f"{index}.{name}", values[index]

    def load(self, entries: Mapping[str, Tensor]) -> None:
        """Take over a state from `entries`; what is not in it starts from zero."""
        for name, value in self.entries():
            if name in entries:
                value.copy_(entries[name])
            else:
                value.zero_()

    def _group(self, indices: list[int], upcast: Sequence[Tensor] = (), half: Sequence[Tensor] = ()) -> _Group:
        state = {name: [values[i] for i in indices] for name, values in self.state.items()}
        return _Group(indices, [self.weights[i] for i in indices], state, list(upcast), list(half))

    def _move(self, group: _Group, gradients: list[Tensor]) -> None:
        settings, state = self.settings, group.state
        if settings.optimizer == "adam":
            torch._fused_adam_(
                group.weights,
                gradients,
                state["exp_avg"],
                state["exp_avg_sq"],
                [],
                state["step"],
                lr=self.learning_rate,
                beta1=settings.betas[0],
                beta2=settings.betas[1],
                weight_decay=0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )
        else:
            torch._fused_sgd_(
                group.weights,
                gradients,
                state.get("momentum_buffer", []),
                weight_decay=0.0,
                momentum=settings.momentum,
                lr=self.learning_rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,
            )


@dataclass(frozen=True)
class _Group:
    """Parameters that are updated together: weights and state in fp32, buffers for their gradients, and their bf16 copies."""

    indices: list[int]
    weights: list[Tensor]
    state: dict[str, list[Tensor]]
    upcast: list[Tensor]
    half: list[Tensor]


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return a gradient the strides of its weight: the kernels take numbers in the order of memory, and check nothing."""
    return gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)


def _share_out(which: Sequence[int], weights: Sequence[Tensor]) -> Iterator[list[int]]:
    """Share weights out to groups that are upcast together: all on a GPU, as many as `UPCAST_AT_ONCE` numbers on a CPU."""
    group: list[int] = []
    size = 0
    for index in which:
        size += weights[index].numel()
        if group and size > UPCAST_AT_ONCE and weights[index].device.type == "cpu":
            yield group
            group, size = [], weights[index].numel()
        group.append(index)
    if group:
        yield group
