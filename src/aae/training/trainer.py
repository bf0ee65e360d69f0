"""The training engine: phases in order, one optimizer each, epochs that a kill cannot spoil."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from aae.device import keep_freed_memory
from aae.errors import InputError, TrainingError
from aae.networks import batch_norms
from aae.noise import STEPS, Noise, SharedNoise, set_torch_state, torch_state
from aae.training.acceleration.compiled import CompiledStep
from aae.training.acceleration.cuda_graphs import StepGraph, unsupported_reason
from aae.training.acceleration.distributed import Distributed
from aae.training.acceleration.precision import Bf16Copies, cast_to, choose_precision, known_weights
from aae.training.acceleration.prefetch import Prefetch
from aae.training.averaging import MovingAverage, running_mean
from aae.training.data import TrainingData
from aae.training.mini_batch import mini_batch
from aae.training.optimizers import Optimizer
from aae.training.phases import Batch, Phase, configured_phases
from aae.training.settings import TrainingSettings, weight_at
from aae.training.shift import check_shift
from aae.training.signals import StoppedError
from aae.training.stopping import BestEpoch
from aae.training.weights import load_module


class Trainer:
    """Trains a module by running its phases on every mini-batch.

    The state after any number of steps is a function of the seed alone: batch orders are derived from (seed, epoch), and
    everything drawn inside steps comes from one saved stream.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place; on `device`.
    phases : sequence of Phase
        In the order in which they run on each mini-batch.
    data : TrainingData
        On `device`.
    settings : TrainingSettings
        Epochs, batches, precision and optimizers.
    device : torch.device
        Where everything lives.
    distributed : Distributed, optional
        The processes that train together, each on its slice of every mini-batch; a batch normalization in the module has been
        synchronized (`aae.training.acceleration.distributed.synchronize`).

    Attributes
    ----------
    epoch : int
        Epochs finished.
    step : int
        Steps done in the epoch under way.
    steps_per_epoch : int
        Full batches in the data; a ragged rest waits for another epoch's order.
    precision : {"fp32", "bf16", "tf32"}
        Of the matrix products.
    best : BestEpoch
        Told of what is measured on validation rows; its weights are then the result.
    weights : dict of str to dict
        By phase the weights of its losses in the present epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        phases: Sequence[Phase],
        data: TrainingData,
        settings: TrainingSettings,
        device: torch.device,
        distributed: Distributed | None = None,
    ) -> None:
        if any(phase.needs_labels for phase in phases) and (data.labelled is None or len(data.labelled) == 0):
            raise InputError("a phase needs labels but no row is labelled; expected at least one label")
        check_shift(settings.shift, tuple(data.rows.shape[1:]))
        keep_freed_memory()
        phases = configured_phases(phases, settings)
        self._check_parameters(module, phases)
        self.module, self.phases, self.data, self.settings, self.device = module, phases, data, settings, device
        self.precision = choose_precision(settings.precision, device)
        self.bf16_copies = Bf16Copies(known_weights(module) if self.precision == "bf16" else [])
        self.optimizers = {p.name: Optimizer(p.optimizer, p.parameters, self.bf16_copies) for p in phases}
        self.distributed = distributed or Distributed()
        self.noise = Noise(settings.seed, STEPS, device=device)
        if self.distributed.world_size > 1:
            shared = self.distributed.rank, self.distributed.world_size
            self.noise = SharedNoise(*shared, settings.seed, STEPS, device=device)
        self.batch_size = min(settings.batch_size, len(data.rows))
        self._check_batch_norm()
        self.steps_per_epoch = len(data.rows) // self.batch_size
        self._average: AveragedModel | None = None
        if settings.average_from is not None:
            self._average = AveragedModel(module, avg_fn=running_mean, use_buffers=True)
        self._ema = None if settings.ema_decay is None else MovingAverage(module, settings.ema_decay)
        self.weights: dict[str, dict[str, float]] = {}
        self.best = BestEpoch(settings)
        self.epoch = 0
        self.step = 0
        if self.distributed.world_size > 1:
            self._order(), self._labelled_order()  # which refuse mini-batches that cannot be shared evenly
        self.cast = cast_to(self.precision, device)
        self._names: list[str] = []
        self._graph: StepGraph | CompiledStep | None = None
        self._compiled: bool | None = None  # whether the training that goes on had compiled steps
        self._history: list[Tensor] = []  # one (metrics,) tensor per step of the epoch under way

    def run_epoch(self, on_step: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """Run the rest of the present epoch.

        Parameters
        ----------
        on_step : callable
            Called after every step; returns True to stop early.

        Returns
        -------
        dict of str to float, or None
            Means over the epoch: ``<phase>_loss`` and what the phases log. None if `on_step` stopped the epoch.

        Raises
        ------
        TrainingError
            If a loss or a weight is not finite, at the end of the epoch in which that happened.
        """
        order, labelled_order = self.open_epoch()
        with self.bf16_copies.in_place(), Prefetch(self.data.read, order) as ahead:
            while self.step < self.steps_per_epoch:
                ahead.reach(self.step)
                labelled = None if labelled_order is None else labelled_order[self.step]
                try:
                    self._run_step(order[self.step], labelled)
                except StoppedError:  # before anything was done: a step that is compiled first takes long
                    break
                self.step += 1
                if self.distributed.any(on_step()) and self.step < self.steps_per_epoch:
                    break
        return self.close_epoch()

    def open_epoch(self) -> tuple[Tensor, Tensor | None]:
        """Prepare the present epoch; returns its mini-batches and its labelled ones, indices (steps, batch)."""
        self.module.train()
        for phase in self.phases:
            start, stop = phase.start, phase.stop or self.settings.epochs
            rate = phase.optimizer.learning_rate_at(self.epoch, start, stop)
            self.optimizers[phase.name].learning_rate = rate
        self.weights = {
            phase.name: {name: weight_at(weight, self.epoch) for name, weight in phase.weights.items()}
            for phase in self.phases
        }
        if self._ema is not None:
            self._ema.follow(self.module, self.bf16_copies.full)
        if self.step == 0:
            self._begin_phases()
        return self._order(), self._labelled_order()

    def _begin_phases(self) -> None:
        """Let the phases begin that have something to do before their first epoch, which is the present one.

        Where weights are averaged, training goes on from their average.
        """
        for phase in self.phases:
            if phase.begin is not None and phase.start == self.epoch:
                if self._ema is not None:
                    self._ema.give_back()
                self.module.eval()
                with torch.no_grad():
                    phase.begin(self.data)
                for average in (self._ema, self._average):
                    if average is not None:  # what was changed is no average of anything
                        average.module.load_state_dict(self.module.state_dict())
                self.module.train()

    def close_epoch(self) -> dict[str, float] | None:
        """Finish the present epoch if all its steps are done; as `run_epoch`."""
        if not self._history:
            return None
        history = self._finite_history()  # a state that is not finite is no state to go on from
        if self.step < self.steps_per_epoch:
            return None
        start = self.settings.average_from
        if self._average is not None and start is not None and self.epoch >= start:
            self._average.update_parameters(self.module)
        self.epoch += 1
        self.step = 0
        self._history = []
        return dict(zip(self._names, history.mean(0).tolist(), strict=True))

    def note(self, names: Sequence[str], metrics: Sequence[Tensor]) -> None:
        """Take note of the metrics of steps, each (metrics,), that were made on this trainer's behalf."""
        self._names = list(names)
        self._history += metrics
        self.step += len(metrics)

    def average_step(self, step: int) -> None:
        """Take the weights after `step` of the present epoch into their moving average, if there is to be one."""
        if self._ema is not None:
            self._ema.update(self.epoch * self.steps_per_epoch + step)

    @property
    def trained(self) -> nn.Module:
        """What training has come to: the mean of the weights if one has begun, otherwise the module itself."""
        if self._ema is not None:
            return self._ema.module
        average = self._average
        return average.module if average is not None and average.n_averaged > 0 else self.module

    def result(self) -> dict[str, Tensor]:
        """Return the weights of the trained model: of the best epoch where one is kept, else what training has come to."""
        return self.best.weights or self.trained.state_dict()

    @property
    def captured(self) -> StepGraph | CompiledStep | None:
        """What runs a step as a CUDA graph or a compiled program; None where neither is wanted, or several processes share it."""
        if self._graph is None and self.distributed.world_size == 1:
            if self.device.type == "cuda":
                self._graph = StepGraph(self._compute, [self.noise.generator], unsupported_reason(self.module))
            elif self.settings.compile:
                reason = unsupported_reason(self.module)
                if self._compiled is False:
                    reason = reason or "the training that goes on began without"
                self._graph = CompiledStep(
                    self._compute, self.noise, self._changed, reason, required=self._compiled is True
                )
        return self._graph

    def _changed(self) -> list[Tensor]:
        """List all tensors that a step changes, some of them twice."""
        updates = [[*update.weights, *(value for _, value in update.entries())] for update in self.optimizers.values()]
        return [*chain(*updates), *(p.data for p in self.module.parameters()), *self.module.buffers()]

    @property
    def key(self) -> tuple[tuple[str, float], ...]:
        """The numbers of the present epoch: learning rates by phase, for those that run, and weights of their losses."""
        running = [phase for phase in self.phases if phase.runs_in(self.epoch)]
        rates = [(phase.name, self.optimizers[phase.name].learning_rate) for phase in running]
        weights = [(f"{p.name}.{name}", weight) for p in running for name, weight in self.weights[p.name].items()]
        return (*rates, *weights)

    def _run_step(self, indices: Tensor, labelled: Tensor | None) -> None:
        graph = self.captured
        metrics = self._compute(indices, labelled) if graph is None else graph(self.key, indices, labelled)
        self._history.append(metrics)
        self.average_step(self.step)

    def _compute(
        self,
        indices: Tensor,
        labelled: Tensor | None,
        noise: Noise | None = None,
        numbers: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Run all phases on one mini-batch; returns their metrics. `numbers` are those of `key` as tensors."""
        batch = self.mini_batch(indices, labelled, noise or self.noise)
        losses = {}
        for phase in self.phases:
            if not phase.runs_in(self.epoch):
                continue
            weights = self.weights.get(phase.name, {})
            batch.weights = {name: numbers[f"{phase.name}.{name}"] for name in weights} if numbers else weights
            learning_rate = None if numbers is None else numbers[phase.name]
            for _ in range(phase.updates):
                with self.cast, batch.noise.drawing_for(len(batch.rows)):
                    loss = phase.compute(batch)
                gradients = phase.gradients(loss, phase.parameters)
                self.optimizers[phase.name].step(self.distributed.average(gradients), learning_rate)
            losses[f"{phase.name}_loss"] = loss.detach()
        metrics = losses | batch.metrics
        if not metrics:
            raise InputError(f"no phase runs in epoch {self.epoch + 1}; expected one in every epoch")
        if self._history and self._names != list(metrics):
            raise InputError(
                f"the phases log {', '.join(metrics)} in step {self.step + 1}, and before {', '.join(self._names)}; expected the "
                "same in every step"
            )
        self._names = list(metrics)
        return self.distributed.average([torch.stack(list(metrics.values()))])[0]

    def mini_batch(self, indices: Tensor, labelled: Tensor | None, noise: Noise) -> Batch:
        """Gather the mini-batch of one step."""
        return mini_batch(self.data, self.settings.shift, indices, labelled, noise, self.distributed.gather)

    @staticmethod
    def _check_parameters(module: nn.Module, phases: Sequence[Phase]) -> None:
        """Refuse phases that train what is not in the module, and so in no checkpoint."""
        owned = set(module.parameters())
        for phase in phases:
            strange = [parameter for parameter in phase.parameters if parameter not in owned]
            if strange:
                raise InputError(
                    f"phase {phase.name}: {len(strange)} of its {len(phase.parameters)} parameters are not in the model that is "
                    "trained; expected all of them there"
                )

    def _check_batch_norm(self) -> None:
        """Refuse mini-batches of one row where it would be normalized by itself."""
        if not batch_norms(self.module):
            return
        if self.batch_size < 2:
            raise InputError(
                f"batch normalization takes 2 rows or more; found training.batch_size {self.settings.batch_size} "
                f"for {len(self.data.rows)} training rows"
            )
        if self._labelled_batch_size == 1:
            assert self.data.labelled is not None
            raise InputError(
                "batch normalization takes 2 labelled rows or more; found training.labelled_batch_size "
                f"{self.settings.labelled_batch_size or self.settings.batch_size} for {len(self.data.labelled)} labelled rows"
            )

    @property
    def _labelled_batch_size(self) -> int:
        """Rows in a labelled mini-batch; 0 where no phase needs labels."""
        if self.data.labelled is None or not any(phase.needs_labels for phase in self.phases):
            return 0
        return min(self.settings.labelled_batch_size or self.settings.batch_size, len(self.data.labelled))

    def _order(self) -> Tensor:
        """Derive the batches of the present epoch: indices (steps, batch)."""
        batches = self.data.order(self.settings.seed, self.epoch, self.batch_size)
        return self.distributed.slice(batches, "training.batch_size")

    def _labelled_order(self) -> Tensor | None:
        """Derive the labelled batches of the present epoch, (steps, labelled batch)."""
        size = self._labelled_batch_size
        if size == 0:
            return None
        batches = self.data.labelled_order(self.settings.seed, self.epoch, self.steps_per_epoch, size)
        return self.distributed.slice(batches, "training.labelled_batch_size")

    def _finite_history(self) -> Tensor:
        """Fetch the metrics of the epoch's steps so far, (steps, metrics), and check that they and the weights are finite."""
        history = torch.stack(self._history).double().cpu()
        broken = (~torch.isfinite(history)).nonzero()
        if len(broken):
            step, metric = broken[0].tolist()
            raise TrainingError(
                f"{self._names[metric].replace('_', ' ')} is {history[step, metric].item()} in epoch {self.epoch + 1}, "
                f"step {step + 1}. Try a lower learning rate for that phase"
            )
        weights = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights.values()])
        for name, whole in zip(weights, finite.tolist(), strict=True):
            if not whole:
                raise TrainingError(
                    f"{name} is not finite after {self._owners(name)} of epoch {self.epoch + 1}, step {self.step}. "
                    "Try lower learning rates"
                )
        return history

    def _owners(self, name: str) -> str:
        """Name the phases that change a weight; of a buffer, those that change a weight of the same layer."""
        weights = dict(self.module.named_parameters())
        layer = name.rpartition(".")[0] + "."
        alike = [weights[name]] if name in weights else [w for own, w in weights.items() if own.startswith(layer)]
        owners = [p.name for p in self.phases if any(own is weight for own in p.parameters for weight in alike)]
        names = owners or [phase.name for phase in self.phases]
        return f"the {' and '.join(names)} phase{'s' if len(names) > 1 else ''}"

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Collect all that a later `load_state` needs to go on with the same bits: tensors, and metadata for JSON."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        for phase, update in self.optimizers.items():
            tensors |= {f"optimizer.{phase}.{name}": value for name, value in update.entries()}
        if self._average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self._average.state_dict().items()}
        if self._ema is not None:
            tensors |= {f"ema.{name}": tensor for name, tensor in self._ema.module.state_dict().items()}
        tensors["noise"] = self.noise.generator.get_state()
        tensors |= torch_state(self.device)
        if self._history:
            tensors["history"] = torch.stack(self._history)
        graph = self._graph
        compiled = graph.compiling if isinstance(graph, CompiledStep) and graph.begun else self._compiled
        metadata = {"epoch": self.epoch, "step": self.step, "names": self._names, "device": self.device.type}
        best, about = self.best.state()
        if about:
            tensors |= best
            metadata["best"] = about
        return tensors, metadata if compiled is None else {**metadata, "compiled": compiled}

    def load_state(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Go back to a state that `state` collected.

        Raises
        ------
        InputError
            If the state belongs to another model or kind of device.
        """
        if metadata.get("device", self.device.type) != self.device.type:
            raise InputError(
                f"the checkpoint was made on {metadata['device']}; found device {self.device.type}, expected the same"
            )

        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        load_module(self.module, under("module."))
        if self._average is not None:
            load_module(self._average, under("average."))
        if self._ema is not None:
            load_module(self._ema.module, under("ema."))
        for phase, update in self.optimizers.items():
            update.load(under(f"optimizer.{phase}."))
        self.noise.generator.set_state(tensors["noise"])
        set_torch_state(tensors, self.device)
        self.best.load(tensors, metadata.get("best", {}))
        self._history = list(tensors["history"].to(self.device)) if "history" in tensors else []
        self.epoch, self.step, self._names = metadata["epoch"], metadata["step"], metadata["names"]
        self._compiled, self._graph = metadata.get("compiled"), None
