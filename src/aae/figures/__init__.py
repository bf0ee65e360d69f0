"""The paper's figures, one module each: functions of arrays that return a matplotlib Figure; `save` writes it."""

from aae.figures.animation import animate
from aae.figures.canvas import save
from aae.figures.columns import cluster_sizes, column_histograms, column_scatter, column_walk
from aae.figures.confusion import confusion
from aae.figures.curves import learning_curve, training_curves
from aae.figures.figure2 import code_line, code_scatter, gaussian_percentile_grid, image_grid
from aae.figures.figure4 import axis_walk, manifold_panels
from aae.figures.figure5 import samples_and_neighbours
from aae.figures.figure7 import style_and_content
from aae.figures.figure9 import cluster_rows
from aae.figures.roc import precision_recall, roc

__all__ = [
    "animate",
    "axis_walk",
    "cluster_rows",
    "cluster_sizes",
    "code_line",
    "code_scatter",
    "column_histograms",
    "column_scatter",
    "column_walk",
    "confusion",
    "gaussian_percentile_grid",
    "image_grid",
    "learning_curve",
    "manifold_panels",
    "precision_recall",
    "roc",
    "samples_and_neighbours",
    "save",
    "style_and_content",
    "training_curves",
]
