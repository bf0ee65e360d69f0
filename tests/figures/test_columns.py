"""Figures of classes, clusters and the columns of tables."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from aae.errors import InputError
from aae.figures import (
    cluster_sizes,
    code_line,
    code_scatter,
    column_histograms,
    column_scatter,
    column_walk,
    confusion,
    image_grid,
    precision_recall,
    roc,
    training_curves,
)
from aae.figures.canvas import all_shortened, save

CLASSES = ("a", "b", "c")


def test_confusion_counts_rows_by_class():
    figure = confusion([0, 0, 0, 1, -1, 2], [0, 1, 0, 1, 0, 1], CLASSES, title="$x$")
    (axes,) = figure.axes
    (bar,) = axes.child_axes
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 1, 0]])
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "1", "2"]
    assert [text.get_text() for text in axes.get_xticklabels()] == list(CLASSES)
    assert bar.get_ylabel() == "fraction of the true class"


def test_clusters_are_sorted_by_their_class_and_empty_ones_come_last():
    figure = confusion([0, 0, 1, 2], [3, 3, 0, 2], CLASSES, ("k0", "k1", "k2", "k3"), clusters=True)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["k3", "k0", "k2", "k1"]
    assert axes.get_xlabel() == "cluster"
    with pytest.raises(InputError, match="predicted: found 0 to 3, expected 0 to 2"):
        confusion([0, 0, 1, 2], [3, 3, 0, 2], CLASSES)


LONG = ("a class whose name is far longer than any picture is wide", "_hidden", "drive to $work$")
SHOWN = ["a class whose name is far longe…", "_hidden", r"drive to \$work\$"]
TITLE = "semi-supervised adversarial autoencoder, with 3 other settings of the model: trained on a-file.csv, 1,234 rows, 9 epochs"


def legend_names(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_names_of_classes_are_shown_whatever_they_are():
    labels = [0, 1, 2, 0, 1, 2]
    line = code_line(np.arange(6.0)[:, None], labels, class_names=LONG)
    assert legend_names(line) == SHOWN
    assert legend_names(cluster_sizes(labels, labels, LONG, LONG)) == SHOWN
    curves = {name: (np.array(labels) == k, np.arange(6.0)) for k, name in enumerate(LONG)}
    for figure in (roc(curves), precision_recall(curves)):
        assert [name.rpartition(":")[0] for name in legend_names(figure)] == SHOWN
    axes = confusion(labels, labels, LONG).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == SHOWN


def test_a_line_shows_all_of_the_prior_beside_collapsed_codes():
    codes, prior = np.random.default_rng(0).normal(size=(2, 500, 1))
    figure = code_line(1e-3 * codes, prior_samples=5 * prior)
    low, high = figure.axes[0].get_xlim()
    assert low < np.quantile(5 * prior, 0.01)
    assert high > np.quantile(5 * prior, 0.99)
    assert legend_names(figure) == ["prior"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: code_line(np.arange(400.0)[:, None], np.arange(400) % 40, title=TITLE),
        lambda: cluster_sizes(np.arange(400) % 40, np.arange(400) % 40, title=TITLE),
        lambda: confusion([0, 1, 2], [0, 1, 1], LONG, title=TITLE),
        lambda: roc({str(k): ([0, 1], [0.0, 1.0]) for k in range(40)}, TITLE),
        lambda: column_histograms(np.zeros((5, 1)), np.ones((5, 1)), title=TITLE),
        lambda: column_scatter(np.zeros((5, 1)), np.ones((5, 1)), title=TITLE),
        lambda: training_curves([{"epoch": 1, "loss": 1.0}], title=TITLE),
        lambda: image_grid(np.zeros((4, 20, 4)), 2, 2, TITLE),
    ],
)
def test_nothing_is_cut_off_or_lies_on_the_panels(make):
    figure = make()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02
    renderer = canvas.get_renderer()
    if figure.get_suptitle():
        tops = [axes.get_window_extent(renderer).y1 for axes in figure.axes]
        assert figure._suptitle.get_window_extent(renderer).y0 >= max(tops)
    assert all(axes.get_window_extent(renderer).width > 30 for axes in figure.axes)


def test_letters_that_the_font_does_not_have_are_said_once(tmp_path, recwarn):
    save(confusion([0, 1], [0, 1], ["漢字", "仮名"]), tmp_path / "some.png", dark=True)
    assert [str(one.message) for one in recwarn] == [
        "a figure shows boxes in place of letters that its font, DejaVu Sans, does not have"
    ]


def test_cluster_sizes_are_split_by_class():
    axes = cluster_sizes([0, 0, 1, 1, 1], [0, 1, 1, 1, -1], ("k0", "k1"), CLASSES).axes[0]
    assert [[bar.get_width() for bar in bars] for bars in axes.containers] == [[1, 0], [1, 2], [0, 1]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "no label"]
    with pytest.raises(InputError, match="clusters: found 0 to 2, expected 0 to 1"):
        cluster_sizes([0, 2], names=("k0", "k1"))


def test_columns_have_a_panel_each_up_to_twelve():
    rows = np.random.default_rng(0).normal(size=(50, 14))
    figure = column_histograms(rows, rows[:20] + 1, title="wine")
    assert len(figure.axes) == 12
    assert figure.get_suptitle() == "wine (first 12 of 14 columns)"
    scatter = column_scatter(rows[:, :2], rows[:, :2] * 2, ("x", "y")).axes
    assert [axes.get_title(loc="left") for axes in scatter] == ["x", "y"]
    points = scatter[1].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], 2 * points[:, 0])
    walk = column_walk(rows[:3, :1]).axes[0]
    np.testing.assert_allclose(walk.lines[0].get_xydata(), np.stack([[0, 0.5, 1], rows[:3, 0]], axis=1))
    with pytest.raises(InputError, match="samples: found 2 columns, expected 14 as in rows"):
        column_histograms(rows, rows[:, :2])


def test_columns_of_categories_have_their_names():
    rows = np.array([[0, 1.0], [0, np.nan], [1, 3.0], [0, 2.0]])
    names = (("short", "a long name that is cut"), ())
    figure = column_histograms(rows, rows[2:], categories=names)
    bars = figure.axes[0].containers
    assert [[bar.get_width() for bar in part] for part in bars] == [[0.75, 0.25], [0.5, 0.5]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["short", "a long name…"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rows", "samples"]
    alone = column_histograms(None, rows, categories=names)
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["samples"]
    first, second = column_scatter(rows, np.roll(rows, 1, axis=0), categories=names).axes
    np.testing.assert_allclose(first.collections[0].get_sizes(), [120, 60, 60])  # by how many rows
    assert len(second.collections[0].get_offsets()) == 2  # both values known
    walk = column_walk(rows[[0, 2]], categories=names).axes[0]
    assert [text.get_text() for text in walk.get_yticklabels()] == ["short", "a long name…"]


def test_codes_of_one_dimension_are_counted_by_label():
    codes = np.linspace(-1, 1, 100)[:, None]
    axes = code_line(codes, np.arange(100) % 2, codes, class_names=("even", "odd")).axes[0]
    assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(50, abs=1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["even", "odd", "prior"]
    with pytest.raises(InputError, match="codes: found 2 dimensions, expected 1"):
        code_line(np.zeros((3, 2)))


def test_grids_have_axes():
    panel = image_grid(np.zeros((6, 8, 8)), 2, 3, across=("a", "b", "c"), down=("x", "y")).axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["x", "y"]
    with pytest.raises(InputError, match="across: found 1 names, expected 3"):
        image_grid(np.zeros((6, 8, 8)), 2, 3, across=("a",))


def test_training_and_validation_share_a_panel_and_seeds_are_a_band():
    seeds = [
        [{"epoch": k, "reconstruction_loss": k + seed, "validation_reconstruction": 2.0 * k} for k in (1, 2, 3)]
        for seed in (0, 2)
    ]
    (axes,) = training_curves(seeds).axes
    assert [line.get_label() for line in axes.lines] == ["training", "validation"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 3, 4])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1
    assert band[:, 1].max() == 5
    assert len(training_curves(seeds, pairs={}).axes) == 2


def test_names_that_are_cut_stay_different():
    names = [f"Carcinoma of the upper respiratory tract, stage {k}" for k in range(3)]
    found = all_shortened(names)
    assert len({*found}) == 3
    assert all(len(name) <= 32 for name in found)
    assert [name[-1] for name in found] == ["0", "1", "2"]
    same = all_shortened(["a" * 40 + "b" * k + "c" * 40 for k in range(3)] + ["short"])
    assert len({*same}) == 4
    assert same[3] == "short"
    figure = confusion(np.arange(3), np.arange(3), names)
    assert len({text.get_text() for text in figure.axes[0].get_yticklabels()}) == 3
    keys = (
        code_scatter(np.random.default_rng(0).normal(size=(3, 2)), np.arange(3), class_names=names).axes[0].get_legend()
    )
    assert len({text.get_text() for text in keys.get_texts()}) == 3


def test_what_a_panel_does_not_show_is_said():
    rows = np.random.default_rng(0).normal(size=(900, 1))
    rows[0] = 1000
    (panel,) = column_scatter(rows, rows * 0.9).axes
    low, high = panel.get_xlim()
    outside = int(((rows < low) | (rows > high)).sum())
    assert outside > 0
    assert [text.get_text() for text in panel.texts] == [f"{outside} outside"]
    many = np.arange(900)[:, None] % 9
    (panel,) = column_histograms(many, many, ["kind"], categories=[[f"k{k}" for k in range(9)]]).axes
    assert panel.get_title(loc="left") == "kind (6 of 9)"
