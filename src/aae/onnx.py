r"""A trained model as ONNX files, to be used without Python or torch.

The scaling is part of the graphs: they take and give rows as they are stored (uint8 images, float32 rows).
``n`` is any number of rows.

=================== ============================================ ====================================================
file                inputs                                       outputs
=================== ============================================ ====================================================
``encoder.onnx``    ``rows`` (n, \*shape)                        the code (n, dim) of every latent by its name, and
                                                                 ``embedding`` (n, dim) of a model with cluster heads
``decoder.onnx``    the code (n, dim) of every latent by its     ``rows`` (n, \*shape)
                    name, and ``true_label`` (n,), int64, where
                    the decoder sees it (section 4); so
                    ``covariates`` (n, m)
``classifier.onnx`` ``rows`` (n, \*shape)                        ``probabilities`` and ``logits`` (n, classes) of q(y|x)
``score.onnx``      ``rows`` (n, \*shape)                        ``score`` (n,), how normal a row is, and of a model with a
                                                                 threshold ``decision`` (n,), which is below 0 for an
                                                                 anomaly; both float64
=================== ============================================ ====================================================

Rows of a table by kind hold numbers: 1 for true, and of a category its place in the list that ``columns`` in the metadata has of
it, JSON of the name, kind and categories of each column, covariates last.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from aae.anomaly_score import AnomalyScore
from aae.convolution import Convolution
from aae.data.columns import Columns
from aae.errors import needs_extra
from aae.files import new_folder
from aae.latents import Codes
from aae.model import AdversarialAutoencoder, Model
from aae.networks import Dense
from aae.scaling import Scaling

OPSET = 18  # ONNX 1.13; the exporter writes no lower one by itself
EXAMPLE = 2  # rows in the batch that the graphs are traced with
SINGLE = {
    *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Det", "Erf", "Mean", "Sinh", "Tan"),
    *("Elu", "Gelu", "HardSigmoid", "Hardmax", "LeakyRelu", "PRelu", "Selu", "Softplus", "Softsign", "ThresholdedRelu"),
    *("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxUnpool", "Resize", "Col2Im"),
    *("Attention", "Conv", "ConvTranspose", "InstanceNormalization", "LRN", "MeanVarianceNormalization"),
    *("OneHot", "RNN"),
}
"""Operators that ONNX Runtime has in float32 and not in float64, which scores are computed in."""


@dataclass
class Exported:
    """What is written: a model, and what rows and names it goes with.

    Attributes
    ----------
    model : Model
        Stays as it is; a copy is exported.
    scaling : Scaling
        From stored rows to network rows.
    shape : tuple of int
        Of a row.
    dtype : str
        Of stored rows, ``"uint8"``, ``"float32"`` or ``"float64"``.
    names : sequence of str
        The classes in the order of the probabilities, or numbers of clusters.
    title : dict of str to str
        Further metadata of every file.
    score : AnomalyScore, optional
        Of a model that has one.
    columns : Columns, optional
        What the columns are, where they are not all numbers.
    decides : bool
        Whether the threshold of the score tells anomalies.
    """

    model: Model
    scaling: Scaling
    shape: tuple[int, ...]
    dtype: str
    names: Sequence[str]
    title: dict[str, str]
    score: AnomalyScore | None = None
    columns: Columns | None = None
    decides: bool = True


def write_onnx(what: Exported, folder: str | Path) -> list[Path]:
    """Write the encoder, decoder, classifier and score of a model as ONNX files, those that it has; all of them or none.

    The code that stands for each row is computed; nothing is drawn. Needs the extra ``export``.

    Parameters
    ----------
    what : Exported
        The model.
    folder : str or Path
        A new or empty folder; parents are created.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If the extra is missing, or the folder holds something already or cannot be written.
    """
    try:
        with _quiet():
            import onnx_ir.passes.common as passes
            import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError:
        raise needs_extra(f"{folder}: ONNX", "export") from None
    model, scaling = copy.deepcopy(what.model).cpu().eval(), copy.deepcopy(what.scaling).cpu()
    _fuse_norms(model)
    rows = {"rows": torch.zeros(EXAMPLE, *what.shape, dtype=getattr(torch, what.dtype))}
    written = []
    with new_folder(Path(folder)) as draft:

        def write(name: str, graph: nn.Module, inputs: dict[str, Any], outputs: Sequence[str]) -> None:
            program = _trace(graph, inputs, outputs)
            program.model.metadata_props.update(**what.title, class_names=json.dumps(list(what.names)))
            if what.columns is not None:
                program.model.metadata_props["columns"] = json.dumps(what.columns.record()["columns"])
            passes.ClearMetadataAndDocStringPass()(program.model)
            _cast_single(program.model.graph)
            program.save(draft / name)
            written.append(Path(folder) / name)

        if model.encodes:
            model = cast(AdversarialAutoencoder, model)
            codes = {
                latent: torch.zeros(EXAMPLE, model.latent(latent).prior.dim, dtype=torch.float32)
                for latent in model.latents
            }
            embedding = [] if model.cluster_heads is None else ["embedding"]
            write("encoder.onnx", _Encoder(model, scaling), rows, [*codes, *embedding])
            label = {} if model.decoder_classes is None else {"true_label": torch.zeros(EXAMPLE, dtype=torch.int64)}
            outer = 0 if what.columns is None else what.columns.covariates
            if outer:
                label["covariates"] = torch.zeros(EXAMPLE, outer, dtype=rows["rows"].dtype)
            write("decoder.onnx", _Decoder(model, scaling, rows["rows"]), {"codes": codes, **label}, ["rows"])
            if what.score is not None:
                score = AnomalyScore(copy.deepcopy(model).double(), what.score.state())
                outputs = ["score", "decision"] if what.decides else ["score"]
                write("score.onnx", _Score(score, scaling, what.decides), rows, outputs)
        if model.classifies:
            write("classifier.onnx", _Classifier(model, scaling), rows, ["probabilities", "logits"])
    return written


def _fuse_norms(model: nn.Module) -> None:
    """Create the batch normalization of a model in evaluation mode part of the layers before it, in place."""
    for layer in list(model.modules()):
        if isinstance(layer, Dense) and layer.norm is not None:
            layer.linear, layer.norm = fuse_linear_bn_eval(layer.linear, layer.norm), None
        if isinstance(layer, Convolution) and layer.norm is not None:
            layer.convolution, layer.norm = fuse_conv_bn_eval(layer.convolution, layer.norm), None


class _Encoder(nn.Module):
    """From stored rows to codes."""

    def __init__(self, model: AdversarialAutoencoder, scaling: Scaling) -> None:
        super().__init__()
        self.model, self.scaling = model, scaling

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        codes = self.model.encode(self.scaling(rows))
        embedding = () if self.model.cluster_heads is None else (self.model.representation(codes),)
        return (*codes.values(), *embedding)


class _Decoder(nn.Module):
    """From codes to rows like `example`, of the stored shape and type."""

    def __init__(self, model: AdversarialAutoencoder, scaling: Scaling, example: Tensor) -> None:
        super().__init__()
        self.model, self.scaling, self.shape, self.dtype = model, scaling, example.shape[1:], example.dtype

    def forward(self, codes: Codes, true_label: Tensor | None = None, covariates: Tensor | None = None) -> Tensor:
        seen = None
        if covariates is not None:
            blank = covariates.new_zeros(covariates.shape[0], self.shape[0] - covariates.shape[1])
            seen = self.model.split(self.scaling(torch.cat([blank, covariates], dim=1)))[1]
        rows = self.scaling.inverse(self.model.decode(codes, true_label, seen)).reshape(-1, *self.shape)
        if not self.dtype.is_floating_point:
            limits = torch.iinfo(self.dtype)
            rows = rows.round().clamp(limits.min, limits.max)
        return rows.to(self.dtype)


class _Score(nn.Module):
    """From stored rows to how normal they are, and how much above a threshold; in float64, as in Python."""

    def __init__(self, score: AnomalyScore, scaling: Scaling, decides: bool) -> None:
        super().__init__()
        self.score, self.scaling, self.decides = score.double(), scaling, decides

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        scores = self.score(self.scaling(rows).double())
        return (scores, scores - self.score.offset) if self.decides else (scores,)


class _Classifier(nn.Module):
    """From stored rows to q(y|x)."""

    def __init__(self, model: Model, scaling: Scaling) -> None:
        super().__init__()
        self.model, self.scaling = model, scaling

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model.label_logits(self.scaling(rows))
        return torch.softmax(logits, dim=1), logits


def _trace(graph: nn.Module, inputs: dict[str, Any], outputs: Sequence[str]) -> Any:
    """Turn a module into an ONNX program; `inputs` are examples by argument, or by name within an argument."""
    batch = {0: torch.export.Dim("batch")}
    shapes = {key: batch if isinstance(value, Tensor) else dict.fromkeys(value, batch) for key, value in inputs.items()}
    names = [name for key, value in inputs.items() for name in ([key] if isinstance(value, Tensor) else value)]
    with _quiet(), torch.no_grad():
        # strict, and here: torch.onnx.export would rather fix the batch size than fail
        program = torch.export.export(graph, (), inputs, dynamic_shapes=shapes, strict=True)
        return torch.onnx.export(
            program, dynamo=True, input_names=names, output_names=outputs, opset_version=OPSET, verbose=False
        )


def _cast_single(graph: Any) -> None:
    """Let the operators that are there in float32 alone compute in it, in place."""
    import onnx_ir as ir

    double, single = ir.DataType.DOUBLE, ir.DataType.FLOAT
    for node in list(graph):
        if node.op_type not in SINGLE:
            continue
        for place, value in enumerate(node.inputs):
            if value is not None and value.dtype == double:
                cast = ir.node("Cast", [value], {"to": single})
                graph.insert_before(node, cast)
                node.replace_input_with(place, cast.outputs[0])
        for value in node.outputs:
            if value.dtype == double:
                cast = ir.node("Cast", [value], {"to": double})
                cast.outputs[0].dtype, cast.outputs[0].shape, value.dtype = double, value.shape, single
                ir.convenience.replace_all_uses_with(value, cast.outputs[0], replace_graph_outputs=True)
                cast.replace_input_with(0, value)
                graph.insert_after(node, cast)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says about its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
