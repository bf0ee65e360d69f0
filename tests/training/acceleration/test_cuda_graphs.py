"""Steps as CUDA graphs, as far as that can be seen without a GPU: when they are captured, replayed, and given up."""

import pytest
import torch
from torch import nn

from aae.networks import MLP
from aae.priors import FromSampler
from aae.reproduction import reproduce
from aae.runs.prepare import prepare
from aae.training.acceleration.cuda_graphs import WARM_UP, StepGraph, unsupported_reason
from aae.training.batched_seeds import BatchedSeeds
from aae.training.run_directory import RunDirectory


class Recorded(StepGraph):
    """Stands for a GPU: a capture runs nothing, and a replay runs the step on the inputs of the capture."""

    captures = 0

    def _capture(self):
        self.captures += 1
        inputs, metrics = self._inputs, torch.empty(1)
        return lambda: metrics.copy_(self._step(*inputs))

    def _aside(self, work):
        return work()


class Failing(Recorded):
    def _capture(self):
        torch.rand(3, generator=self._generators[0])
        raise RuntimeError("operation not permitted when stream is capturing\nmore about it")


def test_steps_are_replayed_on_the_mini_batch_at_hand():
    run = Recorded(lambda indices, labelled: (indices.sum() + 100 * labelled.sum()).view(1).float(), [])
    found = [run("key", torch.tensor([k, 1]), torch.tensor([k])) for k in range(WARM_UP + 4)]
    assert [metrics.item() for metrics in found] == [101 * k + 1 for k in range(WARM_UP + 4)]
    assert run.captures == 1


def test_other_rates_and_phases_are_captured_again():
    rate = 1.0
    run = Recorded(lambda indices, labelled: rate * indices.sum().view(1), [])
    for key in (("generator", 1.0), ("generator", 0.1)):
        rate = key[1]
        for _ in range(WARM_UP + 2):
            assert run(key, torch.tensor([3.0]), None).item() == pytest.approx(3 * rate)
    assert run.captures == 2


def test_a_capture_that_fails_is_one_line_and_costs_no_random_number(capsys):
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    steps = [lambda indices, labelled, g=generator: torch.rand(1, generator=g) for generator in generators]
    run = Failing(steps[0], generators[:1])
    found = [run("key", torch.zeros(1), None).item() for _ in range(WARM_UP + 5)]
    assert found == [steps[1](None, None).item() for _ in range(WARM_UP + 5)]
    printed = capsys.readouterr().err
    assert printed == (
        "note: steps are not captured as a CUDA graph: operation not permitted when stream is capturing\n"
    )


class Own(nn.Module):
    pass


def test_modules_of_a_person_are_not_captured(capsys):
    assert unsupported_reason(nn.Sequential(MLP(2, [3], 1), nn.Dropout())) is None
    reason = unsupported_reason(nn.Sequential(Own()))
    assert reason == "it is not known whether Own does the same in every step"
    latent = nn.Module()
    latent.prior = FromSampler(lambda n, noise: noise.normal(n, 2), 2)
    assert unsupported_reason(latent) == "it is not known whether FromSampler does the same in every step"
    run = Recorded(lambda indices, labelled: indices, [], reason)
    for _ in range(WARM_UP + 3):
        run("key", torch.zeros(1), None)
    assert run.captures == 0
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", ["table2-mnist-100", "table2-mnist-100-clusters", "table2-svhn-1000-conv-consistent"])
def test_steps_of_recipes_are_captured(name, batched, tmp_path, capsys):
    recipe, _ = reproduce.plan(name, "smoke")
    device, trainers = torch.device("cuda"), []
    for seed in range(1 + batched):
        training = recipe.training.model_copy(update={"seed": seed, "batch_size": 28, "precision": "bf16"})
        one = recipe.model_copy(update={"training": training})
        trainers.append(prepare(one, RunDirectory(tmp_path / f"{seed}"), device).job.trainer)
    (BatchedSeeds(trainers) if batched else trainers[0]).run_epoch()
    assert "not captured" not in capsys.readouterr().err
