"""Measures of clusters found without labels beside the labels (section 6, Table 3).

The paper's protocol and the other usual measures are reported side by side; their numbers are not comparable.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from aae.arrays import Array, ArrayLike, as_labels, as_matrix, labelled_rows, same_length
from aae.errors import InputError
from aae.evaluation.classification import error_percent


def _labelled(logits: ArrayLike, labels: ArrayLike, which: str) -> tuple[Array, Array]:
    scores, true = as_matrix(logits, f"{which}_logits"), as_labels(labels, f"{which}_labels")
    same_length(**{f"{which}_logits": scores, f"{which}_labels": true})
    if scores.shape[1] < 2:
        raise InputError(f"{which}_logits: found {scores.shape[1]} cluster, expected at least 2")
    known = labelled_rows(true)
    return scores[known], true[known]


def cluster_labels(validation_logits: ArrayLike, validation_labels: ArrayLike, *, rounded: bool = False) -> Array:
    """Return each cluster the label of the validation example that is surest to belong to it (section 6).

    "For each cluster i, we found the validation example x_n that maximizes q(y_i|x_n), and assigned the label of x_n
    to all the points in the cluster i."

    Parameters
    ----------
    validation_logits : array or tensor (n, clusters)
        What goes into the softmax of q(y|x).
    validation_labels : array or tensor (n,)
        True labels; -1 leaves the row out.
    rounded : bool
        Whether q(y_i|x) is the softmax as a program that works in float32 computes it; of rows that tie the first counts then.

    Returns
    -------
    array (clusters,) of int
        The label of each cluster.

    Raises
    ------
    InputError
        If the shapes do not fit, there is one cluster only, or no row has a label.

    Notes
    -----
    Of a trained model many softmax outputs round to exactly 1, which would leave the choice to the order of the rows.
    So the examples are ranked by the log-odds log q(y_i|x) / (1 - q(y_i|x)), the logit of cluster i less the
    log-sum-exp of all others: the same order as q(y_i|x) itself, without the rounding. The paper does not say which of
    the two its numbers were measured by.
    """
    logits, labels = _labelled(validation_logits, validation_labels, "validation")
    if rounded:
        tied: Array = labels[softmax(logits.astype(np.float32), axis=1).argmax(axis=0)]
        return tied
    # The log-sum-exp of all others is that of those before and those behind, for all clusters in two passes.
    nothing = np.full((len(logits), 1), -np.inf)
    before = np.hstack([nothing, np.logaddexp.accumulate(logits, axis=1)[:, :-1]])
    behind = np.hstack([np.logaddexp.accumulate(logits[:, ::-1], axis=1)[:, -2::-1], nothing])
    log_odds = logits - np.logaddexp(before, behind)
    heads: Array = labels[log_odds.argmax(axis=0)]
    return heads


def clustering_report(
    validation_logits: ArrayLike, validation_labels: ArrayLike, test_logits: ArrayLike, test_labels: ArrayLike
) -> dict[str, float]:
    """Compute measures of clusters beside the true labels, the paper's and the usual ones.

    Parameters
    ----------
    validation_logits : array or tensor (n, clusters)
        What goes into the softmax of q(y|x), for held-out training rows.
    validation_labels : array or tensor (n,)
        Their true labels; -1 leaves the row out.
    test_logits : array or tensor (m, clusters)
        The same for test rows; a row belongs to the cluster with the largest logit.
    test_labels : array or tensor (m,)
        Their true labels; -1 leaves the row out.

    Returns
    -------
    dict
        - ``clustering_error_percent``: the paper's protocol, labels of clusters from `cluster_labels` (Table 3);
        - ``clustering_error_rounded_percent``: the same where q(y|x) is a softmax in float32, whose ties the first row wins;
        - ``majority_vote_error_percent``: each cluster has its most frequent label on the validation rows (the one
          from `cluster_labels` where no validation row is in the cluster);
        - ``clustering_accuracy_hungarian_percent``: the best one-to-one matching of clusters and classes on the test
          rows; with more clusters than classes each class gets one cluster, and rows in the others count as wrong;
        - ``nmi``: normalized mutual information, 0 to 1; ``ari``: adjusted Rand index, 1 at best, 0 by chance;
        - ``clusters_in_use``: how many clusters have a labelled test row.

    Raises
    ------
    InputError
        If shapes do not fit, or one of the two sets has no labelled row.
    """
    seen, seen_labels = _labelled(validation_logits, validation_labels, "validation")
    scores, labels = _labelled(test_logits, test_labels, "test")
    if scores.shape[1] != seen.shape[1]:
        raise InputError(f"test_logits: found {scores.shape[1]} clusters, expected {seen.shape[1]} as for validation")
    clusters, seen_clusters = scores.argmax(axis=1), seen.argmax(axis=1)

    heads = cluster_labels(seen, seen_labels)
    majority = heads.copy()
    for cluster in np.unique(seen_clusters):
        names, counts = np.unique(seen_labels[seen_clusters == cluster], return_counts=True)
        majority[cluster] = names[counts.argmax()]

    table = contingency_matrix(labels, clusters)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return {
        "clustering_error_percent": error_percent(labels, heads[clusters]),
        "clustering_error_rounded_percent": error_percent(
            labels, cluster_labels(seen, seen_labels, rounded=True)[clusters]
        ),
        "majority_vote_error_percent": error_percent(labels, majority[clusters]),
        "clustering_accuracy_hungarian_percent": 100 * float(matched) / len(labels),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
        "clusters_in_use": len(np.unique(clusters)),
    }
