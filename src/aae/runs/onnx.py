"""A finished run as ONNX files; see `aae.onnx` for what they take and give."""

from __future__ import annotations

from pathlib import Path

from aae.errors import InputError
from aae.onnx import Exported, write_onnx
from aae.runs.run import Run


def export(run: Run, folder: str | Path) -> list[Path]:
    """Write the encoder, decoder, classifier and score of a run as ONNX files, those that it has; all of them or none.

    The metadata of every file names the ``recipe`` and, as a JSON list, the ``class_names``: the classes in the order of the
    probabilities, or the numbers of the clusters. Needs the extra ``export``.

    Parameters
    ----------
    run : Run
        A finished run.
    folder : str or Path
        A new or empty folder; parents are created.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If the extra is missing, the run is a GAN, or the folder holds something already or cannot be written.
    """
    if not (run.model.encodes or run.model.classifies):
        raise InputError(
            f"{run.folder.path}: a {run.model.description} has no encoder, decoder or classifier; expected another run"
        )
    names = run.label_names if run.model.classifies else run.class_names
    score = None if run.recipe.evaluation.contamination is None else run.anomaly_score
    title = {"recipe": run.recipe.name}
    what = Exported(run.model, run.scaling, run.shape, run.metadata["rows"], names, title, score, run.table)
    return write_onnx(what, folder)
