"""Every metric by name: its title, its unit, which way is better, and what it means.

Tables of results, the tables that the command line prints, `aae reproduce` and the user guide read it from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """What is known of a metric beside its values.

    Attributes
    ----------
    title : str
        In plain words.
    explanation : str
        One or two clauses for the user guide, in Markdown.
    unit : str
        Such as ``%`` or ``nats``; empty if it has none, or that of the rows or codes.
    direction : {"lower", "higher", "none"}
        Which way is better.
    digits : int, optional
        Decimals to show; by default four significant digits.
    headline : bool
        Whether it is the most telling one of a recipe for which the paper has no number.
    logged : bool
        Whether it is logged after every epoch of training, and is no measurement of a finished run.
    validated : bool
        Whether it is measured after every epoch on the validation split too, under the name ``validation_NAME``.
    """

    title: str
    explanation: str = ""
    unit: str = ""
    direction: Literal["lower", "higher", "none"] = "none"
    digits: int | None = None
    headline: bool = False
    logged: bool = False
    validated: bool = False

    @property
    def heading(self) -> str:
        """Title and unit, for a table."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def number(self, value: float) -> str:
        """Return a value as text, rounded for a table."""
        return f"{value:.4g}" if self.digits is None else f"{value:.{self.digits}f}"


def _loss(title: str, explanation: str) -> Metric:
    return Metric(title, explanation, direction="lower", logged=True)


def _percent(title: str, explanation: str, direction: Literal["lower", "higher", "none"], digits: int = 2) -> Metric:
    return Metric(title, explanation, "%", direction, digits)


METRICS: dict[str, Metric] = {
    # Logged in training
    "reconstruction_loss": _loss(
        "reconstruction loss",
        "half the squared error of scaled rows, of columns by kind -log p(x|z), summed over the dimensions of a row "
        "(`training.reduction`); falls, then levels off",
    ),
    "discriminator_loss": _loss(
        "discriminator loss",
        r"$-\log D$ of prior samples and $-\log(1 - D)$ of codes, summed over all latents; healthy at about "
        r"$2\log 2$ for each latent",
    ),
    "generator_loss": _loss(
        "generator loss",
        r"$-\log D$ of codes, summed over all latents; healthy at about $\log 2$ for each latent, or somewhat more",
    ),
    "classification_loss": _loss(
        "classification loss",
        r"cross-entropy of $q(\mathbf y\mid\mathbf x)$ on labelled rows; falls, with few labels to nearly 0",
    ),
    "start_loss": _loss(
        "loss on labels to start from",
        r"cross-entropy of $q(\mathbf y\mid\mathbf x)$ with labels that training starts from, on rows without a label",
    ),
    "consistency_loss": _loss(
        "consistency loss",
        r"how much $q(\mathbf y\mid\mathbf x)$ changes under the worst small change of a row (virtual adversarial); falls",
    ),
    "neighbour_graph_loss": _loss(
        "loss of the graph of neighbours",
        "how far rows that are neighbours lie from each other on the map, and others near each other (that of UMAP); falls",
    ),
    "information_loss": _loss(
        "information loss",
        r"mean entropy of $q(\mathbf y\mid\mathbf x)$, and the weighted divergence of its mean from $p(\mathbf y)$; falls",
    ),
    "joint_loss": _loss("joint loss", "the weighted sum of the encoder's losses that are lowered in one update"),
    "repulsion_loss": _loss(
        "repulsion loss", r"how much closer than $\eta$ the cluster heads are, summed over pairs; healthy at 0"
    ),
    "moment_matching_loss": _loss(
        "moment matching loss",
        "distance of mean and covariance of the codes from those of the prior, in epochs of moment matching; of GMMN+AE "
        "the maximum mean discrepancy; falls",
    ),
    "elbo_loss": _loss("negative ELBO", "the bound of Eq. 2 (variational autoencoder); falls"),
    "stacked_elbo_loss": _loss("negative ELBO of M2", "the bound of the second of two stacked models; falls"),
    "bound": Metric(
        "bound",
        "of a deep generative model: of rows without labels, which are summed over; falls",
        "nats",
        "lower",
        logged=True,
    ),
    "labelled_bound": Metric("labelled bound", "the same of labelled rows; falls", "nats", "lower", logged=True),
    "neighbours_loss": _loss(
        "neighbour loss", "of t-SNE: divergence of neighbours in the map from those in the data; falls"
    ),
    "machine_loss": _loss("machine loss", "of a transductive support vector machine: margins, gaps and balance; falls"),
    "denoising_loss": _loss("denoising loss", "of a ladder network: weighted sum over its layers; falls"),
    "entropy_of_generated": Metric(
        "entropy of generated rows",
        r"of a CatGAN: mean entropy of $p(\mathbf y\mid\mathbf x)$ for generated rows; $\log K$ if none of them passes for data",
        "nats",
        logged=True,
    ),
    "kl": Metric(
        "KL divergence",
        "the term of that bound which keeps codes close to the prior; a few nats for each dimension in use, and 0 means "
        "that codes do not depend on the rows",
        unit="nats",
        logged=True,
    ),
    "discriminator_accuracy": Metric(
        "discriminator accuracy",
        "of a GAN, which has no latents: fraction of rows and samples that the discriminator classifies correctly",
        logged=True,
    ),
    "style_discriminator_accuracy": Metric(
        "style discriminator accuracy",
        "fraction of prior samples and style codes that the discriminator classifies correctly; healthy from 0.5 to 0.75",
        logged=True,
    ),
    "label_discriminator_accuracy": Metric(
        "label discriminator accuracy",
        r"the same for one-hot samples and $q(\mathbf y\mid\mathbf x)$; healthy from 0.5 to 0.75, higher early on",
        logged=True,
    ),
    "label_normalized_marginal_entropy": Metric(
        "normalized marginal entropy",
        r"entropy of the mean of $q(\mathbf y\mid\mathbf x)$ over a mini-batch, as a fraction of that of the prior, $\log K$ "
        "if all categories are equally likely; healthy above 0.9, and 0 means one label for everything",
        direction="higher",
        logged=True,
    ),
    # Classification (section 5)
    "error_percent": replace(
        _percent("error", r"rows with a wrong label, by the largest $q(\mathbf y\mid\mathbf x)$", "lower"),
        validated=True,
    ),
    "classes_never_predicted": Metric(
        "classes never predicted", "labels that rows have and no row gets", direction="lower", digits=0, validated=True
    ),
    "ece_percent": _percent(
        "calibration error",
        "expected calibration error: the gap between confidence and accuracy, averaged over bins of confidence",
        "lower",
    ),
    "nll": Metric(
        "negative log-likelihood",
        r"$-\log q(\mathbf y\mid\mathbf x)$ of the true label, mean over rows",
        unit="nats",
        direction="lower",
        digits=3,
    ),
    "reconstruction": Metric(
        "reconstruction error",
        "half the squared error of scaled rows, of columns by kind -log p(x|z), summed over the dimensions of a row",
        direction="lower",
        validated=True,
    ),
    # Codes and prior (section 2)
    "energy_distance": Metric(
        "energy distance",
        "between style codes and samples of the prior; 0 if they are distributed alike, and slightly negative by chance",
        direction="lower",
        digits=3,
        validated=True,
    ),
    "code_mismatch": Metric(
        "code mismatch",
        "energy distance of codes from samples of the prior, as a fraction of its maximum; 0 if they are alike",
        direction="lower",
        digits=3,
        validated=True,
    ),
    "sliced_wasserstein": Metric(
        "sliced Wasserstein", "distance between style codes and samples of the prior", direction="lower", digits=3
    ),
    "fracture_percent": _percent(
        "fracture",
        "of a map: holes in the Gaussian that has mean and covariance of a class; mean over classes",
        "lower",
    ),
    "holes_percent": _percent("holes", "fraction of the prior's mass to which no row is mapped", "lower"),
    "label_placement_percent": replace(
        _percent(
            "label placement", "codes in the region of a label-informed prior that belongs to their label", "higher", 1
        ),
        validated=True,
    ),
    # Style and content (section 4)
    "conditional_generation_accuracy_percent": replace(
        _percent(
            "conditional-generation accuracy",
            "decoded rows that a separately trained reference classifier assigns to the label that the decoder was given",
            "higher",
            1,
        ),
        headline=True,
    ),
    "reference_classifier_accuracy_percent": _percent(
        "reference classifier on real rows", "accuracy of that classifier on held-out rows", "higher", 1
    ),
    "style_linear_probe_accuracy_percent": _percent(
        "linear probe of the style",
        "accuracy of a linear classifier of the label that sees the style alone; at chance where the style is free of the label",
        "lower",
        1,
    ),
    "style_linear_probe_chance_percent": _percent(
        "chance", "accuracy of always naming the most frequent label", "none", 1
    ),
    # Clustering (section 6)
    "clustering_error_percent": replace(
        _percent(
            "clustering error",
            r"each cluster named by the validation row with its highest $q(y_i\mid\mathbf x)$, the paper's protocol",
            "lower",
        ),
        validated=True,
    ),
    "clustering_error_rounded_percent": _percent(
        "clustering error, float32",
        r"the same where $q(y_i\mid\mathbf x)$ is rounded to float32, so that many rows tie and the first names the cluster",
        "lower",
    ),
    "majority_vote_error_percent": replace(
        _percent("majority vote error", "each cluster named by most of its validation rows", "lower"), validated=True
    ),
    "clustering_accuracy_hungarian_percent": _percent(
        "Hungarian accuracy",
        "each class assigned to one cluster, the best assignment there is; not comparable with the two above",
        "higher",
    ),
    "nmi": Metric(
        "NMI", "normalized mutual information of clusters and labels; 1 is best", direction="higher", digits=3
    ),
    "ari": Metric("ARI", "adjusted Rand index of clusters and labels; 1 is best", direction="higher", digits=3),
    "clusters_in_use": Metric(
        "clusters in use", "clusters that hold at least one row", direction="none", digits=1, validated=True
    ),
    # Embeddings (section 7)
    "knn_accuracy_percent": _percent(
        "k-NN accuracy",
        "labels predicted from those of the nearest training codes, ten of them by default (`evaluation.neighbours`)",
        "higher",
    ),
    "trustworthiness": Metric(
        "trustworthiness",
        "of an embedding: how far neighbours in it are neighbours in the data; 1 is best",
        direction="higher",
        digits=3,
    ),
    "continuity": Metric("continuity", "the other way round; 1 is best", direction="higher", digits=3),
    # Likelihood (section 3)
    "parzen_log_likelihood_nats": Metric(
        "Parzen log-likelihood",
        "of test rows under a Parzen window on samples, its width from the paper's grid",
        unit="nats",
        direction="higher",
        digits=1,
        headline=True,
    ),
    "parzen_standard_error_nats": Metric("standard error", "of that mean, over test rows", unit="nats", digits=1),
    "parzen_sigma": Metric("sigma", "the width, chosen on validation rows", digits=3),
    "parzen_fine_log_likelihood_nats": Metric(
        "fine sigma", "the same with the best width in between", unit="nats", direction="higher", digits=1
    ),
    "parzen_fine_sigma": Metric("fine sigma", "that width", digits=3),
    "parzen_training_rows_nats": Metric(
        "training rows", "what training rows score in place of samples", unit="nats", digits=1
    ),
    "parzen_centroids_nats": Metric(
        "centroids", "what k-means centroids score in place of samples", unit="nats", digits=1
    ),
    "elbo_nats": Metric(
        "evidence lower bound",
        "of a VAE: the bound of Eq. 2 on $\\log p(\\mathbf x)$, mean over rows; gray values count as probabilities of a "
        "Bernoulli variable, so that it compares VAEs with each other alone",
        unit="nats",
        direction="higher",
        digits=1,
    ),
    "importance_weighted_bound_nats": Metric(
        "importance-weighted bound",
        "the same, tightened by the weights of several codes for each row (Burda et al. 2015)",
        unit="nats",
        direction="higher",
        digits=1,
    ),
    "frechet_distance": Metric(
        "Fréchet distance",
        "of samples from test rows, in the features of a classifier trained on the training rows",
        direction="lower",
        digits=1,
    ),
    "precision_percent": _percent("precision", "samples that lie among test rows, in those features", "higher", 1),
    "recall_percent": _percent("recall", "test rows that lie among samples, in those features", "higher", 1),
    # Anomalies (the benchmark of the estimators)
    "auroc_mean": Metric(
        "AUROC, mean",
        "area under the ROC curve of `score_samples`, mean over the classes left out of training; 0.5 is chance",
        direction="higher",
        digits=3,
    ),
    "auroc_min": Metric("AUROC, lowest", "the same for the hardest class", direction="higher", digits=3),
}
"""What is known of each metric. Those of a split are listed without ``test_`` or ``validation_``; see `describe`."""

PREFIXES = {"test_": "test {}", "validation_": "validation {}"}
SUFFIXES = {"_baseline": "{}, baseline", "_epoch_1": "{} after epoch 1"}


def describe(name: str) -> Metric:
    """Return what is known of a metric by its full name, such as ``test_error_percent`` or ``energy_distance_baseline``.

    Parameters
    ----------
    name : str
        A key of `METRICS`, perhaps with the split it was measured on in front, or ``_baseline`` or ``_epoch_1`` behind. Any
        other name, such as that of a user's own loss, is its own title.

    Returns
    -------
    Metric
        With the split in its title.
    """
    if name in METRICS:
        return METRICS[name]
    for affix, words in {**PREFIXES, **SUFFIXES}.items():
        rest = name.removeprefix(affix) if affix in PREFIXES else name.removesuffix(affix)
        if rest != name:
            known = describe(rest)
            return replace(known, title=words.format(known.title))
    return Metric(name.replace("_", " "))
