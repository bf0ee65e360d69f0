"""Rows of a file are read before the steps that need them, and only those."""

import time

import numpy as np
import pytest
import torch
from helpers import small_networks

from aae import recipes
from aae.noise import INIT, Noise
from aae.recipes.build_data import load_data, training_data, with_scaling
from aae.recipes.build_model import build_model, build_phases
from aae.training.acceleration.prefetch import STEPS, Prefetch
from aae.training.trainer import Trainer

CPU = torch.device("cpu")


def until(condition):
    """Wait for what another thread does."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < 10
        time.sleep(0.001)


@pytest.mark.parametrize("first", [0, 7])
def test_each_batch_is_read_once_in_order_well_before_its_step_and_not_long_before(first):
    order = torch.arange(300).view(100, 3)
    found = []
    with Prefetch(found.append, order) as ahead:
        for step in range(first, 100):
            ahead.reach(step)
            until(lambda: len(found) >= min(STEPS, 99 - step))  # noqa: B023
            until(lambda: first + len(found) >= min(step + STEPS, 99))  # noqa: B023
            assert first + len(found) < step + 2 * STEPS
    np.testing.assert_array_equal(found, order[first + 1 :].numpy())


def test_leaving_ends_the_reading():
    seen = []

    def slow(indices):
        seen.append(indices)
        time.sleep(0.05)

    with Prefetch(slow, torch.arange(100)[:, None]) as ahead:
        ahead.reach(0)
    count = len(seen)
    assert count < STEPS
    time.sleep(0.1)
    assert len(seen) == count


@pytest.fixture
def file(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (400, 4, 4)).astype(np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    return tmp_path / "rows.npy"


def trainer_of(rows_file):
    changes = small_networks()
    recipe = recipes.read("figure2a", [f"data.source={rows_file}", "data.validation=0", "data.test=0", *changes])
    dataset = load_data(recipe)
    model = build_model(recipe.model, dataset.shape, 0, Noise(0, INIT))
    scaling = with_scaling(recipe, dataset.train.rows)[1]
    data = training_data(recipe, dataset.train, scaling, None)
    return dataset.train.rows, Trainer(model, build_phases(recipe, model), data, recipe.training, CPU)


def test_training_shares_the_map_of_a_file_and_reads_it_ahead(file):
    rows, trainer = trainer_of(file)
    assert np.shares_memory(trainer.data.rows.numpy(), rows)
    read = []
    inner = trainer.data.read
    assert inner is not None
    object.__setattr__(trainer.data, "read", lambda indices: read.append(inner(indices)))
    seen = []
    trainer.run_epoch(lambda: bool(seen.append(None)))
    assert len(seen) >= 3
    assert len(read) <= len(seen) - 1
    assert all(batch.shape == (trainer.batch_size, 4, 4) for batch in read)


def test_reading_ahead_changes_no_bit(file):
    _, ahead = trainer_of(file)
    _, plain = trainer_of(file)
    object.__setattr__(plain.data, "rows", plain.data.rows.clone())
    object.__setattr__(plain.data, "read", None)
    assert ahead.run_epoch() == plain.run_epoch()
