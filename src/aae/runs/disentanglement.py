"""Evaluation of how well label and style are separated (section 4)."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aae.data import Dataset, Split
from aae.runs.reference_classifier import ReferenceClassifier
from aae.runs.run import Run


def disentanglement(run: Run, dataset: Dataset, held_out: Split) -> dict[str, float]:
    """Compute how well label and style are separated.

    Parameters
    ----------
    run : Run
        Its decoder sees the true label.
    dataset : Dataset
        Its training rows teach both classifiers.
    held_out : Split
        Labelled rows for the measurement.

    Returns
    -------
    dict of str to float
        ``style_linear_probe_accuracy_percent``: accuracy of a linear classifier of the label from the style code alone, near
        ``style_linear_probe_chance_percent`` if the style is free of the label.
        ``conditional_generation_accuracy_percent``: fraction of rows decoded from held-out styles and random labels that the
        reference classifier takes for the given class; ``reference_classifier_accuracy_percent`` is the accuracy of that
        classifier on real held-out rows.
    """
    train = dataset.train
    assert train.labels is not None
    assert held_out.labels is not None
    classes = len(dataset.class_names)
    classifier = ReferenceClassifier(run, train, classes)
    styles = run.encode(held_out.rows)["style"]
    wanted = np.random.default_rng(0).integers(classes, size=len(styles))
    decoded = run.decode_numbers({"style": styles}, wanted)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    some = np.random.default_rng(0).permutation(len(train))[:10_000]
    probe.fit(run.encode(train.rows[some])["style"], train.labels[some])
    counts = np.bincount(held_out.labels, minlength=classes)
    return {
        "style_linear_probe_accuracy_percent": 100 * float(probe.score(styles, held_out.labels)),
        "style_linear_probe_chance_percent": 100 * float(counts.max() / counts.sum()),
        "conditional_generation_accuracy_percent": 100 * float((classifier.predict(decoded) == wanted).mean()),
        "reference_classifier_accuracy_percent": 100
        * float((classifier.predict(held_out.rows) == held_out.labels).mean()),
    }
