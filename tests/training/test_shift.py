"""Images are moved whole, by as much as is drawn, and what comes in repeats the edge."""

import numpy as np
import pytest
import torch
from helpers import metrics_of, small_networks

from aae import recipes
from aae.cli import run as command
from aae.noise import Noise
from aae.runs.train import train
from aae.training.shift import draw_shifts, shift_images


@pytest.mark.parametrize("shape", [(5, 6), (6, 5, 3)])
def test_images_move_down_and_to_the_right_and_their_edge_is_repeated(shape):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8))
    shifts = torch.tensor([[0, 0], [2, -1], [-3, 2], [1, 1]])
    moved = shift_images(images, shifts)
    assert moved.dtype == torch.uint8
    for image, (down, right), found in zip(images.numpy(), shifts.tolist(), moved.numpy(), strict=True):
        padded = np.pad(image, ((3, 3), (3, 3), *[(0, 0)] * (image.ndim - 2)), mode="edge")
        expected = padded[3 - down : 3 - down + shape[0], 3 - right : 3 - right + shape[1]]
        np.testing.assert_array_equal(found, expected)


def test_every_shift_up_to_the_limit_is_drawn_as_often():
    drawn = draw_shifts(2, 50_000, Noise(0))
    assert drawn.shape == (50_000, 2)
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert counts / drawn.numel() == pytest.approx(np.full(5, 0.2), abs=0.01)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02


def test_a_run_trains_on_images_that_are_moved(tmp_path):
    def loss(name, pixels):
        settings = [*small_networks(50), "training.epochs=5", f"training.shift={pixels}"]
        train(recipes.read("figure2a-digits", settings), run=tmp_path / name)
        return metrics_of(tmp_path / name)[-1]["reconstruction_loss"]

    assert loss("moved", 2) > 1.1 * loss("still", 0)


@pytest.mark.parametrize(
    ("pixels", "rows", "message"),
    [
        (2, (30, 5), "training.shift is 2; found rows of shape (5,), expected images"),
        (4, (30, 4, 6), "training.shift is 4; expected fewer pixels than the images of 4 x 6 have"),
    ],
)
def test_what_cannot_be_moved_is_refused_before_training(pixels, rows, message, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random(rows, dtype=np.float32))
    arguments = ["train", "figure2a", "--data", str(tmp_path / "rows.npy"), "--run", str(tmp_path / "run")]
    assert command([*arguments, "--set", f"training.shift={pixels}"]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
