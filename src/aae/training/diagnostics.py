"""Signs that adversarial training has collapsed, read from the metrics of an epoch, and what to reach for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

DISCRIMINATOR_WINS = 0.97  # accuracy; about 0.5 to 0.75 in healthy runs
LABELS_UNUSED = 0.5  # entropy of the mean of q(y|x) as a fraction of that of the prior; above 0.9 in healthy runs


def diagnose(metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Find the diagnose of collapse in the metrics of one epoch.

    Parameters
    ----------
    metrics : mapping of str to float
        As `aae.training.trainer.Trainer.run_epoch` returns them.

    Yields
    ------
    tuple of str
        The metric, and one line that says what was found and what helps.
    """
    for name, value in metrics.items():
        if name.endswith("_discriminator_accuracy") and value > DISCRIMINATOR_WINS:
            yield (
                name,
                f"the {name.removesuffix('_accuracy').replace('_', ' ')} distinguishes codes from prior samples in "
                f"{value:.1%} of cases and no longer guides the encoder; model.discriminator.input_noise=0.3, "
                "training.moment_matching_epochs=1 or a lower training.discriminator.learning_rate may help",
            )
        if name == "label_normalized_marginal_entropy" and value < LABELS_UNUSED:
            yield (
                name,
                f"most rows have one of a few labels: the entropy of the mean of q(y|x) is {value:.0%} of the prior's; "
                "encoder.batch_norm='all', model.discriminator.input_noise=0.3 or training.moment_matching_epochs=1 may help",
            )
