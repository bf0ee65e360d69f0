"""The model whose decoder is told the label: style and content (section 4)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aae.arrays import UNLABELLED
from aae.errors import InputError
from aae.estimators.labelled import LabelledEstimator


class SupervisedAAE(LabelledEstimator):
    """Adversarial autoencoder whose decoder is told the label: the code keeps the style alone (section 4).

    Parameters
    ----------
    latent_dim : int, default=2
        Number of dimensions of the style. With more of them more of a row survives, but the style then also tells what
        class a row has, and less is left for the label to decide: rows drawn with a label look less like their class.
    label_informed : bool, default=False
        Whether the discriminator of the style sees the label, and each class gets a part of the prior of its own (section 2.3): a
        slice of the Gaussian, or what a `prior` with as many `num_labels` as there are classes gives it.
    prior, posterior, hidden_layer_sizes, discriminator_layer_sizes, batch_norm, input_noise, discriminator_noise
        As for `AAE`, but `batch_norm` is ``"all"`` by default.
    encoder, decoder, discriminator, image_shape, missing, columns, handle_unknown, layer, learning_rate_decay
        As for `AAE`.
    early_stopping, validation_fraction, n_iter_no_change, tol, callbacks
        As for `AAE`.
    scaling, output, epochs, batch_size, learning_rate, optimizers, precision, device, warm_start, verbose, random_state
        As for `AAE`, but `learning_rate` is 0.006 by default.

    Attributes
    ----------
    classes_ : array, (n_classes,)
        The labels there are, sorted.
    model_, scaler_, history_, n_iter_, n_features_in_, feature_names_in_
        As for `AAE`.

    Notes
    -----
    Every row needs a label; -1 is refused, because it marks unlabelled rows everywhere else.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from aae import SupervisedAAE
    >>> rows, species = load_iris(return_X_y=True)
    >>> model = SupervisedAAE(latent_dim=2, random_state=0).fit(rows, species)
    >>> model.sample(3, label=1).shape
    (3, 4)
    """

    _least_steps: ClassVar[int] = 920

    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        missing = int((labels == UNLABELLED).sum())
        if missing:
            raise InputError(
                f"{missing} of {len(labels)} rows are unlabelled (-1); a decoder that sees the label expects one for every "
                "row. SemiSupervisedAAE takes unlabelled rows"
            )

    def _parts(self) -> dict[str, Any]:
        return {"decoder_sees_label": True}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
