"""The mini-batch of a step: gathered from the stored rows, moved, scaled; for one seed, and for several at once.

Both draw from the noise of a seed in the same order, so that a seed sees the same rows alone and among others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aae.noise import Noise
from aae.training.data import TrainingData
from aae.training.phases import Batch
from aae.training.shift import draw_shifts, shift_images


def mini_batch(
    data: TrainingData,
    shift: int,
    indices: Tensor,
    labelled: Tensor | None,
    noise: Noise,
    gather: Callable[[Tensor], Tensor],
) -> Batch:
    """Gather the rows `indices` (batch,) and the labelled ones `labelled` (labelled batch,), moved by up to `shift` pixels."""

    def rows(which: Tensor) -> Tensor:
        stored = data.rows.index_select(0, which)
        if shift:
            with noise.drawing_for(len(which)):
                stored = shift_images(stored, draw_shifts(shift, len(which), noise))
        scaled: Tensor = data.scaling(stored)
        return scaled

    batch = Batch(
        rows=rows(indices),
        labels=None if data.labels is None else data.labels[indices],
        start=None if data.start is None else data.start[indices],
        radii=None if data.radii is None else data.radii[indices],
        observed=None if data.observed is None else data.observed[indices],
        noise=noise,
        gather=gather,
    )
    if data.links is not None:
        with noise.drawing_for(len(indices)):
            which = noise.integers(data.links.shape[1], len(indices))
        batch.neighbour_rows = rows(data.links[indices, which])
    if labelled is not None:
        assert data.labels is not None
        batch.labelled_rows = rows(labelled)
        batch.labelled_labels = data.labels[labelled]
    return batch


def mini_batches(
    data: Sequence[TrainingData], shift: int, indices: Tensor, labelled: Tensor | None, streams: Sequence[Noise]
) -> Batch:
    """Gather the mini-batches of several seeds, each part (seeds, batch, ...); `indices` and `labelled` are (seeds, batch).

    Where all seeds hold the very same rows these are gathered at once. The noise of the batch is that of the first seed.
    """
    first = data[0]
    shared = all(one.rows is first.rows for one in data)

    def rows(which: Tensor) -> Tensor:
        if shared:
            stored = first.rows.index_select(0, which.flatten())
        else:
            stored = torch.cat([one.rows.index_select(0, own) for one, own in zip(data, which, strict=True)])
        if shift:
            stored = shift_images(stored, torch.cat([draw_shifts(shift, which.shape[1], noise) for noise in streams]))
        scaled: Tensor = first.scaling(stored)
        return scaled.view(*which.shape, -1)

    def each(name: str, which: Tensor) -> Tensor | None:
        own = [getattr(one, name) for one in data]
        return None if own[0] is None else torch.stack([values[i] for values, i in zip(own, which, strict=True)])

    batch = Batch(
        rows=rows(indices),
        labels=each("labels", indices),
        start=each("start", indices),
        radii=each("radii", indices),
        observed=each("observed", indices),
        noise=streams[0],
    )
    links = each("links", indices)
    if links is not None:
        which = torch.stack([noise.integers(links.shape[2], indices.shape[1]) for noise in streams])
        batch.neighbour_rows = rows(links.gather(2, which[:, :, None])[:, :, 0])
    if labelled is not None:
        batch.labelled_rows = rows(labelled)
        batch.labelled_labels = each("labels", labelled)
    return batch
