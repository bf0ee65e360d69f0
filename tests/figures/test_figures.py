"""The figures show what they are given: places, colours, labels and pixels."""

import errno

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.image import imread
from scipy.stats import norm

from aae.errors import InputError
from aae.figures import (
    axis_walk,
    cluster_rows,
    code_scatter,
    gaussian_percentile_grid,
    image_grid,
    learning_curve,
    manifold_panels,
    save,
    style_and_content,
    training_curves,
)
from aae.figures.canvas import GAP, INK, PALETTE, as_images, mosaic, sheet
from aae.figures.dark import darkened


def plain(values, size=8):
    """Images (n, size, size) of one grayscale each."""
    return np.broadcast_to(np.asarray(values, dtype=float)[:, None, None], (len(values), size, size))


def shown(figure, panel=0):
    return np.asarray(figure.axes[panel].images[0].get_array())


def cell(image, row, col, size=80, lead=0):
    """The middle pixel of a cell in a mosaic of magnified 8 x 8 images."""
    return image[row * (size + GAP) + size // 2, col * (size + GAP) + size // 2 + lead * (col > 0), 0]


def test_mosaic_places_images_and_leaves_the_rest_white():
    image = mosaic(plain([0.1, 0.2, 0.3]), 2, 2)
    assert image.shape == (2 * 80 + GAP, 2 * 80 + GAP, 4)
    assert [cell(image, *place) for place in ((0, 0), (0, 1), (1, 0), (1, 1))] == [0.1, 0.2, 0.3, 1.0]
    assert (image[80 : 80 + GAP] == [1, 1, 1, 0]).all()  # transparent
    assert [image[at, at, 3] for at in (40, 80 + GAP + 40)] == [1, 0]
    places = mosaic(plain([0.1, 0.2]), 2, 2, places=[3, 0])
    assert [cell(places, *place) for place in ((0, 0), (0, 1), (1, 0), (1, 1))] == [0.2, 1.0, 1.0, 0.1]


def test_a_sheet_that_fits_no_memory_is_refused():
    with pytest.raises(InputError, match=r"found a sheet of 819998 x 408 pixels, expected at most 33554432 in all"):
        mosaic(np.zeros((2, 8, 8)), 5, 10_000)


@pytest.mark.parametrize(
    "title",
    [
        "Short",
        "Likelihood of MNIST, GMMN in the code of a dropout autoencoder " * 2,
        "Style and content: 15-D Gaussian style, label given",
    ],
)
@pytest.mark.parametrize("width", [300, 1000])
def test_titles_stay_inside_their_sheet(title, width):
    figure, (panel,) = sheet([np.zeros((200, width, 3))], title=title)
    (text,) = figure.texts
    box, whole = text.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert panel.get_window_extent().y1 <= box.y0 < box.y1 <= whole.y1


def test_images_are_clipped_and_colour_is_kept():
    assert as_images(torch.tensor([[[-1.0, 2.0]]])).tolist() == [[[[0.0] * 3, [1.0] * 3]]]
    colour = np.random.default_rng(0).uniform(size=(2, 4, 5, 3))
    assert (as_images(colour) == colour).all()


def test_plain_columns_cannot_be_shown():
    rows = np.zeros((4, 7))
    for draw in (
        lambda: image_grid(rows, 2, 2),
        lambda: axis_walk(rows),
        lambda: manifold_panels([rows]),
        lambda: cluster_rows(rows[:2], rows, [0, 1, 1, 0]),
        lambda: style_and_content(rows.reshape(2, 2, 7)),
    ):
        with pytest.raises(InputError, match="7 plain columns, which cannot be shown as images"):
            draw()


def test_saved_files_are_whole_exact_and_reproducible(tmp_path):
    images = np.random.default_rng(0).uniform(size=(6, 28, 28))
    first = save(image_grid(images, 2, 3), tmp_path / "new" / "a.png")
    second = save(image_grid(images, 2, 3), tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["a.png"]
    pixels, wanted = imread(first)[..., :3], mosaic(images, 2, 3)[..., :3]
    margin = (pixels.shape[0] - wanted.shape[0]) // 2
    inside = pixels[margin : margin + wanted.shape[0], margin : margin + wanted.shape[1]]
    assert np.abs(inside - wanted).max() <= 1 / 255  # every image pixel is drawn without resampling
    with pytest.raises(InputError, match=r"'\.jpg', expected '\.png'"):
        save(image_grid(images, 2, 3), tmp_path / "c.jpg")


def test_a_dark_figure_has_light_letters_and_the_same_images(tmp_path):
    images, labels = np.random.default_rng(0).uniform(size=(4, 8, 8)), [0, 9, 3, -1]
    grid = image_grid(images, 2, 2, "title", ["a", "b"])
    light = save(grid, tmp_path / "light.png").read_bytes()
    dark = imread(save(grid, tmp_path / "dark.png", dark=True))[..., :3]
    assert dark[0, 0].max() < 0.15  # the ground
    assert dark[: dark.shape[0] // 6].max() > 0.8  # the title
    shown_light = imread(tmp_path / "light.png")[..., :3]
    inside = np.s_[-20 - 82 - 60 : -20 - 82 - 20, 210:270]  # of an image
    assert (dark[inside] == shown_light[inside]).all()
    scatter = code_scatter(np.eye(4)[:, :2], labels, np.zeros((3, 2)), "codes", heads=[[0.5, 0.5]])
    save(scatter, tmp_path / "scatter.png", dark=True)
    assert save(grid, tmp_path / "again.png").read_bytes() == light  # a figure is as it was afterwards
    with darkened(scatter):
        letters = [*scatter.axes[0].get_legend().get_texts(), scatter.axes[0].title, *scatter.axes[0].get_xticklabels()]
        assert {min(to_rgba(text.get_color())[:3]) > 0.8 for text in letters} == {True}
        entries = scatter.axes[0].get_legend().get_lines()
        assert min(to_rgba(entries[3].get_markerfacecolor())[:3]) > 0.7  # nine, of dark gray
        assert to_rgba(entries[2].get_markerfacecolor()) == to_rgba(PALETTE[3])
    assert scatter.axes[0].title.get_color() == INK


def test_a_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch):
    figure = image_grid(plain([0.5]), 1, 1)
    path = save(figure, tmp_path / "a.png")
    before = path.read_bytes()

    def fail(file, **_):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(disk full\)"):
        save(figure, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_percentile_grid_reads_like_the_scatter():
    grid = gaussian_percentile_grid(4, std=5.0).reshape(4, 4, 2)
    steps = 5 * norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(grid[..., 0], np.tile(steps, (4, 1)))  # the first axis grows to the right
    np.testing.assert_allclose(grid[..., 1], np.tile(steps[::-1, None], (1, 4)))  # the second upwards
    turned = gaussian_percentile_grid(4, std=(2.0, 1.0), mean=(1.0, -1.0), axes=[[0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(turned.reshape(4, 4, 2)[..., 1], -1 + 2 * np.tile(steps / 5, (4, 1)))
    with pytest.raises(InputError, match="positive"):
        gaussian_percentile_grid(0)


def test_scatter_colours_every_code_by_its_label():
    generator = np.random.default_rng(0)
    codes, labels = generator.standard_normal((300, 2)), generator.integers(-1, 13, 300)
    prior = 3 * generator.standard_normal((100, 2))
    figure = code_scatter(torch.tensor(codes), labels, prior, title="codes", class_names=[f"c{i}" for i in range(13)])
    axes = figure.axes[0]
    cloud, *drawn = axes.collections
    assert len(cloud.get_offsets()) == 100
    assert sum(len(part.get_offsets()) for part in drawn) == 300
    colour_of = {
        tuple(place): tuple(colour)
        for part in drawn
        for place, colour in zip(part.get_offsets().tolist(), part.get_facecolors(), strict=True)
    }
    threes = {colour_of[tuple(place)] for place in codes[labels == 3].tolist()}
    assert threes == {to_rgba(PALETTE[3])}
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["prior", *(f"c{i}" for i in range(13)), "no label"]
    limit = axes.get_xlim()[1]
    assert axes.get_xlim() == axes.get_ylim() == (-limit, limit)
    assert limit > np.abs(prior).max()
    assert len({colour_of[tuple(codes[labels == label][0])] for label in range(13)}) == 13


def test_scatter_counts_codes_far_outside():
    codes = np.random.default_rng(0).standard_normal((2000, 2))
    codes[0] = 1e6
    axes = code_scatter(codes).axes[0]
    assert axes.get_xlim()[1] < 10
    assert [text.get_text() for text in axes.texts] == ["1 code outside"]
    assert axes.get_legend() is None
    assert not code_scatter(codes[1:]).axes[0].texts


def test_scatter_refuses_what_is_not_a_plane():
    with pytest.raises(InputError, match="found 3 dimensions, expected 2"):
        code_scatter(np.zeros((5, 3)))
    with pytest.raises(InputError, match="found 2 names, expected at least 3"):
        code_scatter(np.zeros((3, 2)), [0, 1, 2], class_names=["a", "b"])


def test_manifold_panels_are_square_grids_with_titles():
    figure = manifold_panels([plain([0.1, 0.2, 0.3, 0.4]), plain([0.5] * 4)], ["zero", "one"])
    assert [axes.get_title() for axes in figure.axes] == ["zero", "one"]
    assert cell(shown(figure), 1, 0) == 0.3
    axes = manifold_panels([plain([0.1, 0.2, 0.3, 0.4])] * 2, across=("a", "b"), down=("c", "d")).axes
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["a", "b"]
    assert [[label.get_text() for label in panel.get_yticklabels()] for panel in axes] == [["c", "d"], []]
    with pytest.raises(InputError, match="down: found 1 names, expected 2"):
        manifold_panels([plain([0, 0, 0, 0])], down=("a",))
    with pytest.raises(InputError, match="3 images in a panel"):
        manifold_panels([plain([0, 0, 0])])


def test_walk_wraps_and_says_where_lines_start():
    figure = axis_walk(plain(np.linspace(0, 0.9, 10)), cols=4)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["0 %", "40 %", "80 %"]
    image = shown(figure)
    assert cell(image, 1, 0) == pytest.approx(0.4)
    assert cell(image, 2, 3) == 1


def test_style_and_content_puts_sources_first():
    images = plain(np.arange(6) / 10).reshape(2, 3, 8, 8)
    figure = style_and_content(images, sources=plain([0.7, 0.8]), class_names=["a", "b", "long name"])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["source", "a", "b", "long name"]
    image = shown(figure)
    assert cell(image, 1, 0, lead=10) == 0.8
    assert cell(image, 1, 3, lead=10) == 0.5
    with pytest.raises(InputError, match="expected 3, one per column"):
        style_and_content(images, class_names=["a"])
    with pytest.raises(InputError, match="one per style"):
        style_and_content(images, sources=plain([0.7]))


def test_cluster_rows_show_only_members_and_stay_white_without():
    values = np.array([0.1, 0.2, 0.3, 0.1, 0.1])
    figure = cluster_rows(plain([0.5, 0.6, 0.7]), plain(values), [0, 2, 2, 0, 0], per_row=3, names=["x", "y", "z"])
    image = shown(figure)
    rows = [[cell(image, row, col, lead=10) for col in range(4)] for row in range(3)]
    assert rows[0] == [0.5, 0.1, 0.1, 0.1]
    assert rows[1] == [0.6, 1, 1, 1]
    assert (rows[2][0], sorted(rows[2][1:])) == (0.7, [0.2, 0.3, 1])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "y", "z"]
    with pytest.raises(InputError, match="found 0 to 3, expected 0 to 2"):
        cluster_rows(plain([0.5, 0.6, 0.7]), plain(values), [0, 3, 2, 0, 0])


def test_training_curves_draw_what_is_there():
    history = [
        {
            "epoch": epoch,
            "loss": [1.0 / epoch, 3.0 / epoch],
            "error": None if epoch % 2 else 10.0 * epoch,
            "device": "cpu",
        }
        for epoch in range(1, 7)
    ]
    figure = training_curves(history)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "error"]
    loss, error = figure.axes
    assert len(loss.lines) == 1  # the mean of two replicas, in a band
    np.testing.assert_allclose(loss.lines[0].get_ydata(), 2 / np.arange(1, 7))
    assert len(loss.collections) == 1
    assert error.lines[0].get_xydata().tolist() == [[2, 20], [4, 40], [6, 60]]
    assert len(training_curves(history, keys=["error"]).axes) == 1
    with pytest.raises(InputError, match="no numbers for 'device'"):
        training_curves(history, keys=["error", "device"])
    with pytest.raises(InputError, match="no numbers in 0 epochs"):
        training_curves([])


def test_a_learning_curve_has_the_numbers_of_the_paper_on_it():
    history = [{"epoch": epoch, "error": 20.0 / epoch} for epoch in range(1, 7)]
    (panel,) = learning_curve([history, history], "error", {1: 16.5, 50: 3.4}).axes
    ours, papers = panel.lines
    np.testing.assert_allclose(ours.get_ydata(), 20 / np.arange(1, 7))
    assert papers.get_xydata().tolist() == [[1, 16.5], [50, 3.4]]
    assert [text.get_text() for text in panel.texts] == ["16.5", "3.4"]
    with pytest.raises(InputError, match="no numbers for 'loss' in 6 epochs and 1 points"):
        learning_curve(history, "loss", {1: 2.0})


def test_training_curves_choose_their_axes():
    history = [{"nll": 10.0**-epoch, "discriminator_accuracy": 0.5 + 0.4**epoch} for epoch in range(1, 5)]
    nll, accuracy = training_curves(history).axes
    assert nll.get_yscale() == "log"
    assert nll.lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert accuracy.lines[0].get_ydata() == [0.5, 0.5]


def test_dollars_in_names_and_titles_are_no_formulas(tmp_path):
    names, title = ["$5_$", "b"], "a $_{ $"
    codes = np.random.default_rng(0).normal(size=(20, 2))
    labels = np.arange(20) % 2
    figures = [
        code_scatter(codes, labels, class_names=names, title=title),
        style_and_content(plain(np.linspace(0, 1, 4)).reshape(2, 2, 8, 8), plain([0.1, 0.2]), names, title),
        cluster_rows(plain([0.1, 0.2]), plain(np.linspace(0, 1, 20)), labels, names=names, title=title),
        training_curves([{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}], title=title),
    ]
    for figure in figures:
        save(figure, tmp_path / "figure.png")
    assert r"\$5_\$" in [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
