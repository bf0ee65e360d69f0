"""The latent explorer: one HTML file that shows the codes of rows and decodes whatever the pointer is at.

Everything is in the file and nothing is fetched, so it opens from a file system and from any web server. The decoder runs in
plain JavaScript, with weights in half precision; the scatter is drawn pixel by pixel, which needs no graphics card.
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from aae.device import usual_state
from aae.errors import InputError
from aae.figures.figure2 import label_style
from aae.files import output_file, write_text
from aae.views.decoder import decoder_layers
from aae.views.view import View

ROWS = 10_000  # shown, by default
MAX_ROWS = 100_000
PRIOR = 2000  # samples of the prior drawn under the codes
TILE = 64  # pixels, the longest side of an image of a row
PER_SHEET = 2500  # images of rows in one sheet
GRID_VALUES = 24_000_000  # decoded values that are kept where the decoder cannot run in the page
GRID_SIDE = 48


@dataclass(frozen=True)
class Explorer:
    """A latent explorer. In a notebook it shows itself.

    Attributes
    ----------
    html : str
        The whole page.
    rows : int
        How many rows it shows.
    live : bool
        Whether the page holds the decoder; otherwise, for networks of one's own, it holds what was decoded on a grid.
    """

    html: str
    rows: int
    live: bool

    def save(self, path: str | Path) -> Path:
        """Write the page and return its path.

        Raises
        ------
        InputError
            If the path does not end in ``.html`` or cannot be written.
        """
        with output_file(path, ".html", ".htm") as target:
            write_text(target, self.html)
        return target

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        style = "width: 100%; height: 760px; border: 0"
        return f'<iframe srcdoc="{page}" style="{style}" title="latent explorer"></iframe>'

    def __repr__(self) -> str:
        kind = "live decoder" if self.live else "decoded on a grid"
        return f"Explorer({self.rows} rows, {kind}, {len(self.html) / 1e6:.1f} MB)"


@usual_state()
@torch.no_grad()
def explorer(view: View, rows: int = ROWS, label: int | None = None) -> Explorer:
    """Create the page for a view.

    Parameters
    ----------
    view : View
        What is shown; its points have one dimension or more.
    rows : int
        At most so many of its rows are shown, chosen at random, 1 to 100,000.
    label : int, optional
        The label that is decoded at first, where the decoder is given one; by default the first.

    Returns
    -------
    Explorer

    Raises
    ------
    InputError
        If `rows` is out of range, there are no rows, or there is a `label` and the decoder is given none.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise InputError(f"rows is {rows}; expected 1 to {MAX_ROWS}")
    view.require_style()
    if view.autoencoder.likelihood is not None or view.autoencoder.covariates:
        raise InputError(
            "the explorer shows images and numbers; found a table of columns by kind or with covariates, expected plots of it"
        )
    total = len(view.points)
    if not total:
        raise InputError("there are no rows to explore; expected some")
    if total > rows:
        view = view.take(np.sort(np.random.default_rng(0).permutation(total)[:rows]))
    content, arrays = _points(view), _arrays(view)
    labels = _label_codes(view)
    if labels is None and label is not None:
        raise InputError("label: found one; what the decoder sees is no label, expected none")
    decoder, live = _decoder(view, labels, arrays)
    if labels is not None:
        arrays["label_codes"] = labels
    shown = f"{len(view.points)} of {total} rows" if total > rows else f"{total} rows"
    content |= {
        **decoder,
        **_row_content(view, arrays),
        "label_names": list(_label_names(view, labels)),
        "label": label or 0,
        "code_size": 0 if labels is None else labels.shape[1],
        "summary": f"{shown}, a code of {view.points.shape[1]} dimension{'s' * (view.points.shape[1] > 1)}"
        + ("" if live else "; the decoder is a network of its own, decoded here on a grid"),
        "arrays": {name: _pack(values) for name, values in arrays.items()},
    }
    return Explorer(_page(view.title, content), len(view.points), live)


def _points(view: View) -> dict[str, Any]:
    """Describe the scatter: names, colours, identifiers."""
    colourings = []
    if view.labelled:
        assert view.labels is not None
        some = (view.labels < 0).any()
        colourings.append(_colouring("labels", "label", view.class_names, "no label" if some else None))
    if view.predicted is not None:
        title = "cluster" if view.clusters else "predicted label"
        colourings.append(_colouring("predicted", title, view.category_names, None))
    if view.labelled and view.predicted is not None and not view.clusters:
        names, colours = ["right", "wrong", "no label"], ["#8fb4d9", "#d62728", "#b0b0b0"]
        colourings.append({"key": "agreement", "title": "right or wrong", "names": names, "colours": colours})
    return {
        "dim": view.points.shape[1],
        "count": len(view.points),
        "embedding": view.heads is not None,
        "clusters": view.clusters,
        "class_names": list(view.class_names),
        "category_names": list(view.category_names),
        "colourings": colourings,
        "ids": None if view.ids is None else [str(value) for value in view.ids],
    }


def _colouring(key: str, title: str, names: tuple[str, ...], unlabelled: str | None) -> dict[str, Any]:
    every = [*names] + ([unlabelled] if unlabelled else [])
    colours = [label_style(k)[0] for k in range(len(names))] + ([label_style(-1)[0]] if unlabelled else [])
    return {"key": key, "title": title, "names": every, "colours": colours}


def _arrays(view: View) -> dict[str, NDArray[Any]]:
    points = view.points.astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {"points": points}
    for name in ("labels", "predicted"):
        values = getattr(view, name)
        if values is not None and (name != "labels" or view.labelled):
            arrays[name] = values.astype(np.int16)
    if view.prior is not None:
        arrays["prior"] = view.prior[:PRIOR].astype(np.float32)
    if view.heads is not None:
        arrays["heads"] = view.heads.astype(np.float32)
    if points.shape[1] > 2:
        mean = points.mean(axis=0, dtype=np.float64)
        _, axes = np.linalg.eigh(np.cov((points - mean).T) if len(points) > 1 else np.eye(points.shape[1]))
        arrays |= {"mean": mean.astype(np.float32), "principal": axes[:, ::-1].T.astype(np.float32)}
    scaling = view.scaling
    for name in ("offset", "factor", "shift", "gain", "constant_value"):
        tensor = getattr(scaling, name)
        if tensor is not None:
            arrays[name] = tensor.cpu().double().numpy().ravel()
    for name in ("bent", "constant"):
        mask = getattr(scaling, name)
        if mask is not None:
            arrays[name] = mask.cpu().numpy().astype(np.uint8)
    return arrays


def _label_codes(view: View) -> NDArray[np.float32] | None:
    """Compute what the decoder is given for each label (labels, size); None where it sees no label of its own."""
    model = view.autoencoder
    if model.decoder_classes is not None:
        return np.eye(model.decoder_classes, dtype=np.float32)
    if not model.classifies or model.cluster_heads is not None:
        return None
    head = model.label_head
    labels = torch.arange(head.num_labels, device=next(model.parameters()).device)
    return head.label_codes(labels).cpu().numpy().astype(np.float32)


def _label_names(view: View, labels: NDArray[np.float32] | None) -> tuple[str, ...]:
    if labels is None:
        return ()
    names = view.class_names if view.autoencoder.decoder_classes is not None else view.category_names
    return names if len(names) == len(labels) else tuple(map(str, range(len(labels))))


def _decoder(
    view: View, labels: NDArray[np.float32] | None, arrays: dict[str, NDArray[Any]]
) -> tuple[dict[str, Any], bool]:
    """Describe the decoder and put its weights among the arrays; or, if it cannot run in the page, what it made on a grid."""
    model, dim = view.autoencoder, view.points.shape[1]
    layers = decoder_layers(model.decoder)
    if layers is None:
        return _grid(view, labels, arrays), False
    for k, layer in enumerate(layers):
        arrays[f"weight{k}"], arrays[f"bias{k}"] = layer.weight, layer.bias
    parts = ["style"] if model.cluster_heads is not None else list(model.latents)
    if model.decoder_classes is not None:
        parts = ["label", *parts]
    return {
        "parts": parts,
        "inputs": dim + (0 if labels is None else labels.shape[1]),
        "layers": [{"activation": layer.activation, "image": list(layer.image)} for layer in layers],
        "sigmoid": model.output == "sigmoid",
        "grid": None,
    }, True


def _grid(view: View, labels: NDArray[np.float32] | None, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Decode a grid in the plane of the first two axes, for each label, as the network gives rows."""
    model, dim, size = view.autoencoder, view.points.shape[1], int(np.prod(view.rows.shape[1:]))
    kinds = 1 if labels is None else len(labels)
    side = int(np.clip(math.isqrt(GRID_VALUES // (size * kinds)), 2, GRID_SIDE))
    around = np.concatenate([view.points] + ([] if view.prior is None else [view.prior]))
    low, high = np.quantile(around, 0.002, axis=0), np.quantile(around, 0.998, axis=0)
    steps = [np.linspace(low[k], high[k], side) for k in range(min(2, dim))]
    plane = np.zeros((side ** len(steps), dim), np.float32)
    plane[:, 0] = np.tile(steps[0], side ** (len(steps) - 1))
    if dim > 1:
        plane[:, 1] = np.repeat(steps[1], side)
    device = next(model.parameters()).device
    made = []
    for k in range(kinds):
        for some in np.array_split(plane, max(1, len(plane) // 256)):
            z = torch.from_numpy(some).to(device)
            made.append(_decode(model, z, labels, k).cpu().numpy().astype(np.float16))
    arrays["grid"] = np.concatenate(made)
    return {
        "parts": [],
        "inputs": 0,
        "layers": [],
        "sigmoid": False,
        "grid": {"side": side, "low": low[:2].tolist(), "high": high[:2].tolist()},
    }


def _decode(model: Any, z: torch.Tensor, labels: NDArray[np.float32] | None, k: int) -> torch.Tensor:
    if model.cluster_heads is not None:
        no_head = z.new_zeros(len(z), model.latent("label").prior.dim)
        decoded: torch.Tensor = model.decode({"label": no_head, "style": z})
        return decoded
    if labels is None:
        return model.decode({"style": z})  # type: ignore[no-any-return]
    if model.decoder_classes is not None:
        return model.decode({"style": z}, torch.full((len(z),), k, device=z.device))  # type: ignore[no-any-return]
    code = torch.from_numpy(labels[k]).to(z.device).expand(len(z), -1)
    return model.decode({"label": code, "style": z})  # type: ignore[no-any-return]


def _row_content(view: View, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Describe the rows themselves: sheets of small images, or the columns of a table with 16 bits a value."""
    size = int(np.prod(view.rows.shape[1:]))
    content: dict[str, Any] = {
        "size": size,
        "image": list(view.image_shape),
        "image_range": [float(value) for value in view.image_range],
    }
    if view.image_shape:
        return content | _sheets(view)
    scaled = view.scaling.transform(view.rows.reshape(len(view.rows), -1))
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    arrays |= {
        "low": low,
        "high": high,
        "rows": np.rint((scaled - low) / np.where(high > low, high - low, 1) * 65535).astype(np.uint16),
    }
    names = view.columns if len(view.columns) == size else tuple(f"column {k}" for k in range(size))
    return content | {"columns": list(names)}


def _sheets(view: View) -> dict[str, Any]:
    """Lay the images of the rows out on sheets: PNG for gray images, WebP with a little loss for coloured ones."""
    height, width = view.image_shape[:2]
    shrink = max(1.0, max(height, width) / TILE)
    tall, wide = max(1, round(height / shrink)), max(1, round(width / shrink))
    across = math.isqrt(PER_SHEET)
    sheets = []
    for start in range(0, len(view.rows), PER_SHEET):
        images = np.rint(255 * view.images(view.rows[start : start + PER_SHEET])).astype(np.uint8)
        if shrink > 1:
            images = np.stack([np.asarray(Image.fromarray(image).resize((wide, tall))) for image in images])
        lines = -(-len(images) // across)
        blank = np.zeros((lines * across, *images.shape[1:]), np.uint8)
        blank[: len(images)] = images
        tiles = blank.reshape(lines, across, *images.shape[1:]).swapaxes(1, 2)
        sheet = Image.fromarray(tiles.reshape(lines * tall, across * wide, *images.shape[3:]))
        buffer, gray = io.BytesIO(), len(view.image_shape) == 2
        if gray:
            sheet.save(buffer, "PNG", compress_level=6)
        else:
            sheet.save(buffer, "WEBP", quality=85, method=2)
        kind = "png" if gray else "webp"
        sheets.append(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return {"sheets": sheets, "tiles": {"width": wide, "height": tall, "across": across, "per_sheet": PER_SHEET}}


def _pack(values: NDArray[Any]) -> dict[str, str]:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {
        "type": str(values.dtype),
        "data": base64.b64encode(gzip.compress(little.tobytes(), 6, mtime=0)).decode(),
    }


def _page(title: str, content: dict[str, Any]) -> str:
    folder = resources.files("aae.views")
    text = {name: (folder / name).read_text("utf-8") for name in ("explorer.html", "explorer.css", "explorer.js")}
    packed = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Template(text["explorer.html"]).substitute(
        title=html.escape(title), style=text["explorer.css"], script=text["explorer.js"], content=packed
    )
