"""From a recipe's settings to the objects they describe: data, labelled subset, scaling, model, phases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from aae import data as datasets
from aae import priors
from aae.baselines import (
    GenerativeAdversarialNetwork,
    SigmoidCode,
    SupervisedNetwork,
    generative_adversarial_phases,
    moment_matching_phases,
    supervised_phases,
    variational_phases,
)
from aae.data import Dataset, Split
from aae.errors import InputError
from aae.model import AdversarialAutoencoder, ClusterHeads, Latent
from aae.networks import Corruption, Scaling, initialize
from aae.noise import Noise
from aae.parts import make_decoder, make_discriminator, make_encoder, make_prior
from aae.posteriors import Deterministic, GaussianPosterior, Posterior, Softmax, UniversalApproximator
from aae.recipes.schema import (
    ClusterHeadSettings,
    DataSettings,
    GeneratedSettings,
    ModelSettings,
    Recipe,
    StyleSettings,
)
from aae.training.engine import SUBSET, TrainingData
from aae.training.phases import Phase, adversarial_phases

Model = AdversarialAutoencoder | SupervisedNetwork | GenerativeAdversarialNetwork
BLOCK = 512  # rows looked at together when statistics are computed


def load_data(recipe: Recipe) -> Dataset:
    """Load the data of a recipe with its splits."""
    d = recipe.data
    return datasets.load(
        d.source,
        validation=d.validation,
        test=d.test,
        label_column=d.label_column,
        labels=d.labels_file,
        image_size=d.image_size,
        fold=d.fold,
        colour=d.colour,
    )


def fingerprint(dataset: Dataset) -> str:
    """Hash sizes, types and a thousand rows, enough to notice that the data of a run was exchanged."""
    rows = dataset.train.rows
    digest = hashlib.sha256(repr((rows.shape, str(rows.dtype), dataset.class_names)).encode())
    digest.update(np.ascontiguousarray(rows[:: max(1, len(rows) // 1000)]).tobytes())
    if dataset.train.labels is not None:
        digest.update(dataset.train.labels.tobytes())
    return digest.hexdigest()[:16]


def labelled_rows(recipe: Recipe, dataset: Dataset) -> NDArray[np.int64] | None:
    """Choose the labelled subset, or None where the recipe trains without labels."""
    if recipe.data.labels is None:
        if recipe.model.method == "network" or recipe.model.decoder_sees_label or _label_informed(recipe):
            raise InputError("data.labels is not set; this model needs labels, expected a number or 'all'")
        return None
    labels, classes = dataset.train.labels, len(dataset.class_names)
    if labels is None or not (labels >= 0).any():
        raise InputError(f"{dataset.name}: no row has a label; data.labels {recipe.data.labels!r} expects some")
    if classes < 2:
        raise InputError(f"{dataset.name}: all labels are {dataset.class_names[0]!r}; expected two classes or more")
    categories = recipe.model.label.categories if recipe.model.label else None
    if categories is not None and categories < classes:
        raise InputError(
            f"model.label.categories is {categories}; the data has {classes} classes, expected at least as many"
        )
    missing = [dataset.class_names[k] for k in range(classes) if not (labels == k).any()]
    if missing:
        raise InputError(f"{dataset.name}: no training row has the label {missing[0]!r}; expected some of every class")
    if recipe.model.decoder_sees_label and recipe.data.labels != "all":
        raise InputError(
            f"data.labels is {recipe.data.labels}; a decoder that sees the label (section 4) expects 'all'"
        )
    if recipe.model.decoder_sees_label and (labels < 0).any():
        raise InputError(
            f"{dataset.name}: {int((labels < 0).sum())} training rows have no label; "
            "a decoder that sees the label (section 4) expects a label for every row"
        )
    if recipe.data.labels == "all":
        return np.flatnonzero(labels >= 0)
    seed = int(np.random.SeedSequence([recipe.training.seed, SUBSET]).generate_state(1)[0])
    try:
        return datasets.labelled_subset(labels, recipe.data.labels, num_classes=classes, seed=seed)
    except InputError as error:
        raise InputError(f"data.labels: {str(error).removeprefix('labelled rows: ')}") from None


def _label_informed(recipe: Recipe) -> bool:
    return recipe.model.style is not None and recipe.model.style.label_informed


def training_data(recipe: Recipe, split: Split, scaling: Scaling, labelled: NDArray[np.int64] | None) -> TrainingData:
    """Gather what the engine trains on: labels outside the labelled subset are hidden from it."""
    rows = split.rows
    read = partial(rows.take, axis=0) if isinstance(rows, np.memmap) and rows.flags.writeable else None
    if labelled is None:
        return TrainingData(_tensor(rows), scaling, read=read)
    assert split.labels is not None
    labels = np.full(len(rows), -1, dtype=np.int64)
    labels[labelled] = split.labels[labelled]
    if recipe.model.method == "network":  # an epoch is one pass over the labelled rows
        return TrainingData(
            _tensor(rows[labelled]), scaling, torch.from_numpy(labels[labelled]), torch.arange(len(labelled))
        )
    return TrainingData(_tensor(rows), scaling, torch.from_numpy(labels), torch.from_numpy(labelled), read)


def _tensor(rows: NDArray[Any]) -> torch.Tensor:
    """Make a tensor of rows; it shares a copy-on-write memory map, so that rows are read batch by batch."""
    return torch.from_numpy(rows if rows.flags.writeable else np.array(rows))


def value_range(rows: NDArray[Any]) -> tuple[float, float]:
    """Find the range of stored values (n, ...): of 8 bits what they can be, otherwise the lowest and the highest there is."""
    if rows.dtype == np.uint8:
        return 0.0, 255.0
    lows, highs = zip(*((block.min(), block.max()) for block in _blocks(rows)), strict=True)
    return float(min(lows)), float(max(highs))


def _blocks(rows: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Give stored rows flat, block by block: they may be larger than memory."""
    for start in range(0, len(rows), BLOCK):
        block = np.asarray(rows[start : start + BLOCK], dtype=np.float64)
        yield block.reshape(len(block), -1)


def make_scaling(
    settings: DataSettings, model: ModelSettings, rows: NDArray[Any], ends: tuple[float, float] | None = None
) -> Scaling:
    """Find the scaling of rows from the training rows alone, block by block.

    Parameters
    ----------
    settings : DataSettings
        Its `scaling` says which.
    model : ModelSettings
        A sigmoid output needs rows inside [0, 1].
    rows : array, (n, ...)
        Training rows.
    ends : tuple of float, optional
        Their `value_range`, if it is known already.

    Returns
    -------
    Scaling
        From stored rows to network rows.

    Raises
    ------
    InputError
        If the output is a sigmoid and the scaled rows are not inside [0, 1].
    """

    def fitted(scaler: Any) -> Any:
        for block in _blocks(rows):
            scaler.partial_fit(block)
        return scaler

    kind = settings.scaling
    if kind == "auto" and rows.dtype == np.uint8:
        return Scaling(torch.tensor(0.0), torch.tensor(1 / 255))
    low, high = ends or value_range(rows)
    if kind == "auto":
        kind = "none" if low >= 0 and high <= 1 else "minmax"
    if kind == "standardize":
        scaler = fitted(StandardScaler())
        scaling = Scaling(torch.from_numpy(scaler.mean_), torch.from_numpy(1 / scaler.scale_))
        low, high = -np.inf, np.inf
    elif kind == "minmax":
        scaler = fitted(MinMaxScaler())
        scaling = Scaling(torch.from_numpy(scaler.data_min_), torch.from_numpy(scaler.scale_))
        low, high = 0.0, 1.0
    else:
        scaling = Scaling.identity()
    if model.output == "sigmoid" and not (low >= 0 and high <= 1) and model.method != "network":
        raise InputError(
            f"data.scaling is {settings.scaling!r} and leaves values outside [0, 1], which model.output 'sigmoid' cannot "
            "reproduce; expected data.scaling 'minmax' or model.output 'linear'"
        )
    return scaling


def build_model(settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise) -> Model:
    """Build and initialize the model of a recipe.

    Batch normalization takes mean and variance from the mini-batch in training mode and its running statistics in evaluation
    mode: each row is then encoded by itself. An encoder is run several times in a step (in A.2.2 on the rows to reconstruct,
    again on them for the regularization, and on the labelled ones), and its running statistics follow all of these runs.

    Parameters
    ----------
    settings : ModelSettings
        The ``[model]`` section.
    shape : sequence of int
        Shape of a stored row, such as (28, 28) or (32, 32, 3); networks with channels need a picture.
    num_classes : int
        Number of classes in the data, 0 if it has no labels.
    seed_noise : Noise
        Source of the initial weights; own parts keep those they come with.

    Returns
    -------
    AdversarialAutoencoder, SupervisedNetwork or GenerativeAdversarialNetwork
        In training mode, on the CPU.

    Raises
    ------
    InputError
        If the settings need labels that the data does not have, or pictures where rows are none, or own parts that do not fit.
    """
    if settings.method == "network":
        model: Model = _supervised_network(settings, shape, num_classes, seed_noise)
    elif settings.method == "gan":
        model = _generative_adversarial_network(settings, shape, num_classes, seed_noise)
    else:
        model = _autoencoder(settings, shape, num_classes, seed_noise)
    initialize(model, seed_noise, settings.init, settings.init_sd, keep=_own_networks(settings, model))
    return model


def make_phases(recipe: Recipe, model: Model) -> list[Phase]:
    """List the training phases of a recipe's method."""
    reduction, likelihood = recipe.training.reduction, recipe.model.likelihood
    if isinstance(model, SupervisedNetwork):
        return supervised_phases(model)
    if isinstance(model, GenerativeAdversarialNetwork):
        return generative_adversarial_phases(model)
    if recipe.model.method == "vae":
        return variational_phases(model, likelihood, reduction)
    if recipe.model.method == "gmmn":
        assert recipe.model.style is not None
        assert isinstance(recipe.model.style.prior, GeneratedSettings)
        bandwidths, pretraining = recipe.model.style.prior.bandwidths, recipe.training.pretraining
        return moment_matching_phases(model, bandwidths, pretraining, likelihood, reduction)
    return adversarial_phases(
        model, reduction, classify=recipe.data.labels is not None, warm_start=recipe.training.warm_start
    )


def _own_networks(settings: ModelSettings, model: Model) -> list[nn.Module]:
    """List the networks that keep the weights they come with."""
    own = {name for name in ("encoder", "decoder", "discriminator") if getattr(settings, name).module is not None}
    if "decoder" in own:
        own.add("generator")  # of a GAN
    return [module for name, module in model.named_modules() if name.rpartition(".")[2] in own]


def _supervised_network(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> SupervisedNetwork:
    encoder, features = make_encoder(settings.encoder, shape, seed_noise)
    head = Softmax(features, _categories(settings, num_classes), batch_norm=_heads_normalized(settings))
    return SupervisedNetwork(encoder, head, _corruption(settings))


def _generative_adversarial_network(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> GenerativeAdversarialNetwork:
    """Impose the data distribution on the rows with the networks that impose the prior on the codes elsewhere."""
    assert settings.style is not None
    return GenerativeAdversarialNetwork(
        make_decoder(settings.decoder, settings.style.dim, shape, seed_noise),
        make_discriminator(settings.discriminator, math.prod(shape), seed_noise),
        make_prior(settings.style.prior, settings.style.dim, num_classes),
        output=settings.output,
    )


def _autoencoder(
    settings: ModelSettings, shape: Sequence[int], num_classes: int, seed_noise: Noise
) -> AdversarialAutoencoder:
    eta = settings.style.noise_inputs if settings.style and settings.style.posterior == "universal" else 0
    encoder, features = make_encoder(settings.encoder, shape, seed_noise, eta)
    latents: dict[str, Latent] = {}
    if settings.label is not None:
        latents["label"] = _label(settings, features, _categories(settings, num_classes), seed_noise)
    if settings.style is not None:
        latents["style"] = _style(settings, settings.style, features, num_classes, seed_noise)
    heads, decoder_inputs = None, sum(latent.prior.dim for latent in latents.values())
    if settings.cluster_heads is not None:
        decoder_inputs = latents["style"].prior.dim
        heads = _cluster_heads(settings.cluster_heads, latents["label"].prior.dim, decoder_inputs, seed_noise)
    if settings.decoder_sees_label:
        if not num_classes:
            raise InputError("the data has no labels; model.decoder_sees_label expects a label for every row")
        decoder_inputs += num_classes
    return AdversarialAutoencoder(
        encoder,
        latents,
        make_decoder(settings.decoder, decoder_inputs, shape, seed_noise),
        output=settings.output,
        corruption=_corruption(settings),
        decoder_classes=num_classes if settings.decoder_sees_label else None,
        cluster_heads=heads,
    )


def _categories(settings: ModelSettings, num_classes: int) -> int:
    assert settings.label is not None
    categories = settings.label.categories or num_classes
    if not categories:
        raise InputError("the data has no labels; expected labels, or model.label.categories for the clusters to find")
    return categories


def _label(settings: ModelSettings, features: int, categories: int, seed_noise: Noise) -> Latent:
    assert settings.label is not None
    try:
        prior = priors.Categorical(categories, settings.label.probabilities)
    except InputError as error:
        raise InputError(f"model.label.{error}") from None
    return Latent(
        prior,
        Softmax(features, categories, batch_norm=_heads_normalized(settings)),
        make_discriminator(settings.discriminator, categories, seed_noise),
        discriminator_noise=settings.discriminator.input_noise,
    )


def _style(settings: ModelSettings, style: StyleSettings, features: int, num_classes: int, seed_noise: Noise) -> Latent:
    prior = make_prior(style.prior, style.dim, num_classes)
    discriminator = None
    if settings.method == "aae":
        if style.label_informed and not num_classes:
            raise InputError("the data has no labels; model.style.label_informed expects some")
        if style.label_informed and prior.num_labels is None:
            raise InputError(
                "model.style.prior cannot be sampled per label; model.style.label_informed expects a sampler with a parameter "
                "'labels'"
            )
        if style.label_informed and (prior.num_labels or 0) < num_classes:
            raise InputError(
                f"model.style.prior.components is {prior.num_labels}; expected one for each of {num_classes} classes"
            )
        extra = (prior.num_labels or 0) + 1 if style.label_informed else 0
        discriminator = make_discriminator(settings.discriminator, style.dim + extra, seed_noise)
    return Latent(
        prior,
        _head(style, features, _heads_normalized(settings)),
        discriminator,
        label_informed=style.label_informed,
        discriminator_noise=settings.discriminator.input_noise,
        add_log_prior=settings.discriminator.add_log_prior,
    )


def _heads_normalized(settings: ModelSettings) -> bool:
    return settings.encoder.batch_norm == "all"


def _corruption(settings: ModelSettings) -> Corruption:
    return Corruption(settings.encoder.input_noise, settings.encoder.input_dropout)


def _cluster_heads(settings: ClusterHeadSettings, categories: int, dim: int, noise: Noise) -> ClusterHeads:
    if settings.fixed is None:
        return ClusterHeads(settings.init_sd * noise.normal(categories, dim), apart=settings.apart)
    if dim != categories:
        raise InputError(
            f"model.style.dim is {dim}; heads fixed to a multiple of the identity expect {categories}, one for each category"
        )
    return ClusterHeads(settings.fixed * torch.eye(dim), learned=False)


def _head(style: StyleSettings, features: int, batch_norm: bool) -> Posterior:
    if style.posterior == "gaussian":
        return GaussianPosterior(features, style.dim, batch_norm=batch_norm)
    if style.posterior == "universal":
        return UniversalApproximator(features, style.dim, noise_inputs=style.noise_inputs, batch_norm=batch_norm)
    if style.posterior == "sigmoid":
        return SigmoidCode(features, style.dim, batch_norm=batch_norm)
    return Deterministic(features, style.dim, batch_norm=batch_norm)
