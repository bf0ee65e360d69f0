"""Figure 5 shows each image where it belongs."""

import numpy as np
import pytest
from matplotlib.image import imread

from aae.errors import InputError
from aae.figures.canvas import DPI, GAP, MARGIN, save
from aae.figures.figure5 import GAP_TO_NEIGHBOURS, samples_and_neighbours

SIZE = 80  # 8 x 8 images are magnified ten times


def plain(values):
    """Images (n, 8, 8) of one grayscale each."""
    return np.broadcast_to(np.asarray(values, dtype=float)[:, None, None], (len(values), 8, 8))


def test_samples_stand_in_a_grid_and_neighbours_in_a_column_apart(tmp_path):
    samples, nearest = np.arange(6) / 10, np.array([0.8, 0.9])
    figure = samples_and_neighbours(plain(samples), plain(nearest), 2, 3, title="figure 5")
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert image.shape == (2 * SIZE + GAP, 3 * SIZE + 2 * GAP + GAP_TO_NEIGHBOURS + SIZE, 4)
    start = 3 * SIZE + 2 * GAP + GAP_TO_NEIGHBOURS
    for row in range(2):
        rows = slice(row * (SIZE + GAP), row * (SIZE + GAP) + SIZE)
        for col in range(3):
            assert (
                image[rows, col * (SIZE + GAP) : col * (SIZE + GAP) + SIZE] == [*[samples[3 * row + col]] * 3, 1]
            ).all()
        assert (image[rows, start:, :3] == nearest[row]).all()
    assert (image[:, start - GAP_TO_NEIGHBOURS : start] == [1, 1, 1, 0]).all()  # transparent, and white without that
    assert GAP_TO_NEIGHBOURS > 2 * GAP
    ticks = dict(
        zip([t.get_text() for t in figure.axes[0].get_xticklabels()], figure.axes[0].get_xticks(), strict=True)
    )
    assert ticks == {"samples": (3 * SIZE + 2 * GAP) / 2 - 0.5, "nearest\ntraining\nimage": start + SIZE / 2 - 0.5}
    pixels = imread(save(figure, tmp_path / "figure5.png"))[..., :3]
    left, bottom = (pixels.shape[1] - image.shape[1]) // 2, pixels.shape[0] - round(MARGIN * DPI)
    drawn = pixels[bottom - image.shape[0] : bottom, left : left + image.shape[1]]
    assert np.abs(drawn - image[..., :3]).max() <= 1 / 255  # every image pixel is drawn without resampling


def test_colours_are_kept():
    images = np.random.default_rng(0).uniform(size=(4, 96, 96, 3))
    image = np.asarray(samples_and_neighbours(images, images[1::2], 2, 2).axes[0].images[0].get_array())[..., :3]
    assert (image[:96, -96:] == images[1]).all()
    assert (image[-96:, -96:] == images[3]).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="samples: found 5, expected 6 for a grid of 2 by 3"):
        samples_and_neighbours(plain([0.5] * 5), plain([0.5] * 2), 2, 3)
    with pytest.raises(
        InputError, match=r"neighbours: found shape \(3, 8, 8, 3\), expected \(2, 8, 8, 3\), one per row"
    ):
        samples_and_neighbours(plain([0.5] * 6), plain([0.5] * 3), 2, 3)
    with pytest.raises(InputError, match="neighbours: found rows of 7 plain columns"):
        samples_and_neighbours(plain([0.5] * 6), np.zeros((2, 7)), 2, 3)
