"""Images moved by a few pixels at random, so that what is learnt does not depend on where things are; not in the paper."""

from __future__ import annotations

import torch
from torch import Tensor

from aae.errors import InputError
from aae.noise import Noise


def check_shift(pixels: int, shape: tuple[int, ...]) -> None:
    """Check that rows of `shape` can be moved by `pixels`.

    Raises
    ------
    InputError
        If they are no images, or not larger than that.
    """
    if pixels and len(shape) not in (2, 3):
        raise InputError(
            f"training.shift is {pixels}; found rows of shape {shape}, expected images, (height, width) or "
            "(height, width, colours)"
        )
    if pixels and pixels >= min(shape[:2]):
        raise InputError(
            f"training.shift is {pixels}; expected fewer pixels than the images of {shape[0]} x {shape[1]} have"
        )


def draw_shifts(pixels: int, count: int, noise: Noise) -> Tensor:
    """Draw by how many pixels each image is moved, down and to the right: integers (count, 2) in -pixels..pixels."""
    return noise.integers(2 * pixels + 1, count, 2) - pixels


def shift_images(images: Tensor, shifts: Tensor) -> Tensor:
    """Move images (batch, height, width, ...) by `shifts` (batch, 2) pixels; what comes in repeats the edge."""
    height, width = images.shape[1:3]
    place = torch.arange(len(images), device=images.device)[:, None, None]
    down, right = shifts[:, :1], shifts[:, 1:]
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[place, rows[:, :, None], columns[:, None, :]]
