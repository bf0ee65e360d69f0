"""Signs that adversarial training has collapsed, and what to reach for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aae.arrays import ArrayLike
from aae.evaluation.matching import code_mismatch

DISCRIMINATOR_WINS = 0.97  # accuracy; about 0.5 to 0.75 in healthy runs
LABELS_UNUSED = 0.5  # entropy of the mean of q(y|x) as a fraction of that of the prior; above 0.9 in healthy runs
# Energy distance over what it is at most; 0.05 where codes are half as wide, below 0.02 in healthy runs.
CODES_ASTRAY = 0.1

Door = Literal["recipe", "baseline", "estimator"]
REMEDIES: dict[Door, dict[str, str]] = {
    "recipe": {
        "discriminator": "model.discriminator.input_noise=0.3, training.moment_matching_epochs=1 or a lower "
        "training.discriminator.learning_rate",
        "labels": "model.encoder.batch_norm='all', model.discriminator.input_noise=0.3 or training.moment_matching_epochs=1",
    },
    "baseline": {
        "discriminator": "a lower training.discriminator.learning_rate",
        "labels": "model.encoder.batch_norm='hidden', more epochs or another learning rate",
    },
    "estimator": {
        "discriminator": "discriminator_noise=0.3 or optimizers={'discriminator': {'learning_rate': 0.0003}}",
        "labels": "batch_norm='all', discriminator_noise=0.3 or more epochs",
    },
}


def diagnose(metrics: Mapping[str, float], door: Door = "recipe", *, final: bool = False) -> Iterator[tuple[str, str]]:
    """Find the signs of collapse in the metrics of one epoch.

    Parameters
    ----------
    metrics : mapping of str to float
        As `aae.training.trainer.Trainer.run_epoch` returns them, and measurements on held-out rows.
    door : {"recipe", "baseline", "estimator"}
        Whose settings to advise; of a recipe without discriminators of codes those of a baseline.
    final : bool
        Whether training is over, so that what may still come right is a sign too.

    Yields
    ------
    tuple of str
        The metric, and one line that says what was found and what helps.
    """
    if door == "recipe" and not any(name.endswith("_discriminator_accuracy") for name in metrics):
        door = "baseline"
    helps = REMEDIES[door]
    found = metrics.get("validation_classes_never_predicted") == 0  # all classes, which may be less even than p(y)
    for name, value in metrics.items():
        if name.endswith("_discriminator_accuracy") and value > DISCRIMINATOR_WINS:
            yield (
                name,
                f"the {name.removesuffix('_accuracy').replace('_', ' ')} distinguishes codes from prior samples in "
                f"{value:.1%} of cases and no longer guides the encoder; {helps['discriminator']} may help",
            )
        if name == "label_normalized_marginal_entropy" and value < LABELS_UNUSED and not found:
            yield (
                name,
                f"most rows have one of a few labels: the entropy of the mean of q(y|x) is {value:.0%} of the prior's; "
                f"{helps['labels']} may help",
            )
        if not final:
            continue
        if name == "validation_code_mismatch" and value > CODES_ASTRAY:
            yield name, _astray(value, door)
        if name == "validation_clusters_in_use" and value == 1:
            yield name, f"all validation rows are in one cluster; {helps['labels']} may help"
        if name == "validation_classes_never_predicted" and value > 0:
            yield (
                name,
                f"no validation row gets the label of {value:.0f} of the classes; {helps['labels']} may help",
            )


def diagnose_labels(
    predicted: NDArray[np.integer],
    names: Sequence[Any],
    known: NDArray[np.integer] | None = None,
    door: Door = "recipe",
) -> Iterator[tuple[str, str]]:
    """Find the signs of collapse in the labels, or clusters, that rows are given.

    Parameters
    ----------
    predicted : int array, (n,)
        Number of the label of each row.
    names : sequence
        What label k is called.
    known : int array, (n,), optional
        True labels, -1 where there is none; without it a label without rows is no sign, as a cluster may be empty.
    door : {"recipe", "estimator"}
        Whose settings to advise.

    Yields
    ------
    tuple of str
        The sign, and one line that says what was found and what helps.
    """
    names, advice = np.asarray(names).tolist(), REMEDIES[door]["labels"]
    counts = np.bincount(predicted, minlength=len(names))
    if len(names) > 1 and len(predicted) > 1 and (counts > 0).sum() == 1:
        yield "one_label", f"all {len(predicted)} rows get the label {names[int(counts.argmax())]!r}; {advice} may help"
        return
    if known is not None:
        there = np.bincount(known[known >= 0], minlength=len(names)) > 0
        never = [names[k] for k in np.flatnonzero(there & (counts == 0)).tolist()]
        if never:
            shown = ", ".join(map(repr, never[:5])) + (", ..." if len(never) > 5 else "")
            yield "never_predicted", f"no row gets the label {shown}, though some rows have it; {advice} may help"


def labels_used(predicted: NDArray[np.integer], known: NDArray[np.integer]) -> bool:
    """Check whether rows with a true label, not -1, are given labels that are about as even as the true ones."""
    given, true = (_entropy(labels[known >= 0]) for labels in (predicted, known))
    return given >= LABELS_UNUSED * true


def _entropy(labels: NDArray[np.integer]) -> float:
    shares = np.unique(labels, return_counts=True)[1] / max(1, len(labels))
    return float(-(shares * np.log(shares)).sum())


def diagnose_codes(codes: ArrayLike, samples: ArrayLike, door: Door = "recipe") -> Iterator[tuple[str, str]]:
    """Find out whether codes (n, dim) lie beside the prior, of which there are `samples` (m, dim); yields as `diagnose`."""
    mismatch = code_mismatch(codes, samples)
    if mismatch > CODES_ASTRAY:
        yield "code_mismatch", _astray(mismatch, door)


def _astray(mismatch: float, door: Door) -> str:
    return (
        f"the codes do not have the prior: their energy distance from it is {mismatch:.0%} of what it can be; "
        f"{REMEDIES[door]['discriminator']} may help, or more epochs"
    )
