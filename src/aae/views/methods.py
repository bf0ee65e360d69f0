"""Methods of runs and estimators that plot a trained model or make a page to explore it; what they need is imported late."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aae.views.page import Explorer
    from aae.views.view import View


class Plots:
    """Methods that plot a trained model and rows. Each returns a figure of matplotlib, which ``savefig`` writes.

    A run plots its held-out rows where none are given; an estimator keeps no rows and has to be given some. Rows are images if a
    run was trained on images, or `image_shape` says so; otherwise they are the columns of a table.
    """

    @abstractmethod
    def _view(self, X: Any, y: Any, image_shape: tuple[int, ...] | None) -> View:
        """Create the view of rows."""

    @abstractmethod
    def _histories(self) -> tuple[list[Sequence[Mapping[str, Any]]], str]:
        """Return the metrics of every epoch, of each seed, and what was trained on what."""

    def _view_for_samples(self, X: Any, image_shape: tuple[int, ...] | None) -> View:
        """Create the view of the rows, or of none, that samples are shown beside."""
        return self._view(X, None, image_shape)

    def plot_map(self, X: Any = None, y: Any = None, *, image_shape: tuple[int, ...] | None = None) -> Figure:
        """Plot where rows lie in the code space, coloured by label or by what was predicted.

        A code of one dimension is a line; more than two are seen along their principal axes. Where the code has a label, each
        label has a place on a circle and a row lies at y W_C + z, as in section 7.

        Parameters
        ----------
        X : array-like, (n, ...), optional
            Rows; by default the held-out rows of a run.
        y : array-like, (n,), optional
            Labels.
        image_shape : tuple of int, optional
            Not needed for a map.

        Raises
        ------
        InputError
            If the model has no continuous code, or rows or labels cannot be used.
        """
        from aae.views.plots import map_figure

        return map_figure(self._view(X, y, image_shape))

    def plot_history(self) -> Figure:
        """Plot losses and metrics by epoch: training and validation in one panel, several seeds as a band."""
        from aae.figures.curves import training_curves

        histories, title = self._histories()
        return training_curves(histories, title=title)

    def plot_confusion(self, X: Any = None, y: Any = None) -> Figure:
        """Plot which classes are taken for which, or which classes are in which cluster; parameters as for `plot_map`."""
        from aae.views.plots import confusion_figure

        return confusion_figure(self._view(X, y, None))

    def plot_clusters(self, X: Any = None, y: Any = None, *, image_shape: tuple[int, ...] | None = None) -> Figure:
        """Plot what is in each cluster or class: images beside its head (figure 9), or how many rows of a table.

        Parameters as for `plot_map`.
        """
        from aae.views.plots import clusters_figure

        return clusters_figure(self._view(X, y, image_shape))

    def plot_samples(self, X: Any = None, *, n: int = 100, image_shape: tuple[int, ...] | None = None) -> Figure:
        """Plot `n` samples of the model: images, or how each column of a table is spread in them and in the rows X.

        A run takes its held-out rows where it can load them; without rows samples are shown alone. Where the decoder sees
        covariates they are those of the rows.
        """
        from aae.views.plots import samples_figure

        view = self._view_for_samples(X, image_shape)
        return samples_figure(view, view.sample(n))

    def plot_reconstructions(
        self, X: Any = None, y: Any = None, *, n: int = 10, image_shape: tuple[int, ...] | None = None
    ) -> Figure:
        """Plot rows and what becomes of them when they are encoded and decoded; `n` images, or all rows of a table.

        Parameters as for `plot_map`.
        """
        from aae.views.plots import reconstructions_figure

        return reconstructions_figure(self._view(X, y, image_shape), n)

    def plot_interpolation(
        self,
        X: Any = None,
        y: Any = None,
        *,
        pairs: Sequence[tuple[int, int]] | None = None,
        steps: int = 11,
        image_shape: tuple[int, ...] | None = None,
    ) -> Figure:
        """Plot what the decoder makes on the way from one row to another.

        Parameters as for `plot_map`, and `pairs` of numbers of rows, by default of rows of different classes, with `steps` on
        the way.
        """
        from aae.views.plots import interpolation_figure

        return interpolation_figure(self._view(X, y, image_shape), pairs, steps)

    def plot_roc(self, X: Any = None, y: Any = None, *, scores: Any = None) -> Figure:
        """Plot true beside false positives for every threshold.

        Of a classifier each class beside the others, by q(y|x). With `scores` (n,), larger for anomalies such as
        ``-model.score_samples(X)``, how well they find the rows whose label is not the first class in order: 1 beside 0.
        Parameters otherwise as for `plot_map`.
        """
        import numpy as np

        from aae.views.plots import roc_figure

        return roc_figure(self._view(X, y, None), None if scores is None else np.asarray(scores, np.float64))

    def plot_precision_recall(self, X: Any = None, y: Any = None, *, scores: Any = None) -> Figure:
        """Plot precision beside recall for every threshold, which tells more than `plot_roc` where few rows are positive.

        Parameters as for `plot_roc`.
        """
        import numpy as np

        from aae.views.plots import precision_recall_figure

        return precision_recall_figure(
            self._view(X, y, None), None if scores is None else np.asarray(scores, np.float64)
        )

    def explore(
        self, X: Any = None, y: Any = None, *, rows: int = 10_000, image_shape: tuple[int, ...] | None = None
    ) -> Explorer:
        """Create a page that shows the codes of rows and decodes whatever the pointer is at; a notebook shows it.

        Parameters as for `plot_map`; at most so many `rows` are shown, chosen at random. ``save(path)`` of what is returned
        writes one HTML file that works without a network.
        """
        from aae.views.page import explorer

        return explorer(self._view(X, y, image_shape), rows)
