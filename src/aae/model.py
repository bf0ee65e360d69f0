"""The adversarial autoencoder: encoder, latents, decoder, discriminators.

Every model of the paper is a composition of these modules:

===================== ============  ===================  =====================  ====================
model                 latents       decoder sees         discriminator sees     extra
===================== ============  ===================  =====================  ====================
2 basic               style         z                    z
2.3 label-informed    style         z                    z + label (K+1)        prior per label
4 supervised          style         z + true label       z
5 semi-supervised     label, style  y + z                y; z                   classification phase
6 clustering          label, style  y + z                y; z                   no labels
7 dimension reduction label, style  y W_C + z            y; z                   cluster heads W_C
===================== ============  ===================  =====================  ====================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae.errors import InputError
from aae.latents import ClusterHeads, Codes, Latent
from aae.likelihoods import ColumnLikelihood
from aae.losses import Reduction, half_squared_error
from aae.networks import Corruption, takes_noise
from aae.noise import Noise
from aae.posteriors import ClusteredSoftmax, Softmax
from aae.scaling import Scaling

Output = Literal["linear", "sigmoid"]


class Model(nn.Module):
    """What a run trains and uses. Its flags state what it can do, so that no caller checks its class.

    Attributes
    ----------
    description : str
        What messages call it.
    encodes : bool
        Whether rows have codes, and codes can be decoded: it is an `AdversarialAutoencoder`.
    classifies : bool
        Whether it has q(y|x): `label_logits` works.
    samples : bool
        Whether it draws rows: `sample` works.
    """

    description = "model"
    encodes = False
    classifies = False
    samples = False

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of q(y|x) for rows (batch, inputs); InputError where it has none."""
        raise InputError(f"a {self.description} cannot infer labels")

    def sample(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Tensor:
        """Draw `n` rows (n, inputs), of given labels (n,) where it knows labels; InputError where it draws none."""
        raise InputError(f"a {self.description} cannot be sampled")

    def measure(self, scaling: Scaling, rows: Iterable[Tensor]) -> None:
        """Set before training what depends on where the training rows lie, given in scaled parts; here nothing does."""


class AdversarialAutoencoder(Model):
    """An autoencoder whose aggregated posterior is matched to a prior by adversarial training.

    Parameters
    ----------
    encoder : torch.nn.Module
        Maps flat rows (batch, inputs), followed by the noise inputs of a universal approximator posterior, to features
        (batch, features). If its ``forward`` has a parameter `noise`, it is given the run's `Noise` at training time.
    latents : mapping of str to Latent
        Named components of the code, in the order in which the decoder sees them. A latent with a `Softmax` posterior is
        named ``label``.
    decoder : torch.nn.Module
        Maps the representation, preceded by the one-hot label if `decoder_classes` is set, to flat rows. The
        representation is all codes side by side, or y W_C + z with `cluster_heads`.
    output : {"linear", "sigmoid"}
        Activation of the last layer of the decoder.
    corruption : Corruption, optional
        Noise on the encoder's input at training time.
    decoder_classes : int, optional
        Number of classes K if the decoder sees the true label (section 4).
    cluster_heads : ClusterHeads, optional
        For dimensionality reduction (section 7); the latents are then `label` and `style`.
    likelihood : ColumnLikelihood, optional
        p(x|z) of the columns of a table by their kinds, in place of half the squared error; `output` is then ``"linear"``.
    covariates : int
        How many inputs at the end of a row are covariates: the decoder sees them beside the code, and the encoder does not.

    Raises
    ------
    InputError
        If there is no latent, ``label`` has no `Softmax` posterior, `output` is none of these, or `cluster_heads` do not fit the
        latents.
    """

    description = "autoencoder"
    encodes = True
    samples = True

    def __init__(
        self,
        encoder: nn.Module,
        latents: Mapping[str, Latent],
        decoder: nn.Module,
        *,
        output: Output = "linear",
        corruption: Corruption | None = None,
        decoder_classes: int | None = None,
        cluster_heads: ClusterHeads | None = None,
        likelihood: ColumnLikelihood | None = None,
        covariates: int = 0,
    ) -> None:
        super().__init__()
        if not latents:
            raise InputError("latents is empty; expected at least one latent")
        if output not in get_args(Output):
            raise InputError(f"output is {output!r}; expected one of: {', '.join(get_args(Output))}")
        if "label" in latents and not isinstance(latents["label"].posterior, Softmax):
            found = type(latents["label"].posterior).__name__
            raise InputError(f"the latent 'label' has the posterior {found}; expected Softmax, or another name for it")
        if cluster_heads is not None:
            expected = tuple(latents[name].width for name in ("label", "style") if name in latents)
            if tuple(cluster_heads.weight.shape) != expected or len(latents) != 2:
                raise InputError(
                    f"cluster_heads have shape {tuple(cluster_heads.weight.shape)}; expected {expected}, "
                    "the dimensions of the latents 'label' and 'style'"
                )
        self.encoder = encoder
        self.latents = nn.ModuleDict(latents)
        self.decoder = decoder
        self.output = output
        self.corruption = corruption or Corruption()
        self.decoder_classes = decoder_classes
        self.cluster_heads = cluster_heads
        self.likelihood = likelihood
        self.covariates = covariates
        self._encoder_takes_noise = takes_noise(encoder)
        self._decoder_takes_noise = takes_noise(decoder)

    def latent(self, name: str) -> Latent:
        """Look up a latent by name."""
        latent = self.latents[name]
        assert isinstance(latent, Latent)
        return latent

    @property
    def label_head(self) -> Softmax:
        """The posterior of the latent ``label``."""
        head = self.latent("label").posterior
        assert isinstance(head, Softmax)
        return head

    @property
    def clusters_pending(self) -> bool:
        """Whether q(y|x) is a sum over clusters that are not assigned to labels yet."""
        return self.classifies and isinstance(self.label_head, ClusteredSoftmax) and not self.label_head.assigned

    @property
    def label_shares(self) -> Sequence[float] | None:
        """p(y) of each label that q(y|x) distinguishes; None where it is the same for all."""
        head = self.label_head
        if isinstance(head, ClusteredSoftmax):
            return head.shares if head.assigned else None
        return getattr(self.latent("label").prior, "probabilities", None)

    @property
    def classifies(self) -> bool:  # type: ignore[override]
        """Whether the model infers a label, q(y|x)."""
        return "label" in self.latents

    def measure(self, scaling: Scaling, rows: Iterable[Tensor]) -> None:
        """Set where the likelihood of columns by kind finds their counts."""
        if self.likelihood is not None:
            self.likelihood.measure(scaling, rows)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """List the parameters of the generator: the encoder and all heads."""
        heads = [p for name in self.latents for p in self.latent(name).posterior.parameters()]
        return [*self.encoder.parameters(), *heads]

    def classifier_parameters(self) -> list[nn.Parameter]:
        """List the parameters of q(y|x): the encoder and the head of the label."""
        return [*self.encoder.parameters(), *self.latent("label").posterior.parameters()]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """List the parameters that turn codes into rows: the decoder and, where there are some, heads and likelihood."""
        further = [module for module in (self.cluster_heads, self.likelihood) if module is not None]
        return [*self.decoder.parameters(), *(p for module in further for p in module.parameters())]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        """List the parameters of all discriminators."""
        discriminators = [self.latent(name).discriminator for name in self.latents]
        return [p for d in discriminators if d is not None for p in d.parameters()]

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cut scaled rows (batch, inputs) into what is encoded and covariates (batch, covariates); None where there are none."""
        if not self.covariates:
            return rows, None
        return rows[:, : -self.covariates], rows[:, -self.covariates :]

    def features(self, rows: Tensor, noise: Noise | None = None, *, corrupt: bool = True) -> Tensor:
        """Map rows (batch, inputs) to encoder features (batch, features); in training mode `noise` corrupts the input.

        Without `corrupt` the noise serves the hidden layers and the posterior alone.
        """
        rows = self.split(rows)[0]
        if self.likelihood is not None and self.likelihood.sized:
            rows = self.likelihood.relative(rows)
        x = self.corruption(rows, noise) if corrupt else rows
        for name in self.latents:
            width = self.latent(name).posterior.noise_inputs
            if width:
                eta = x.new_zeros(len(x), width) if noise is None else noise.normal(len(x), width)
                x = torch.cat([x, eta], dim=1)
        features: Tensor = self.encoder(x, noise) if self._encoder_takes_noise else self.encoder(x)
        return features

    def encode(self, rows: Tensor, noise: Noise | None = None) -> Codes:
        """Infer the codes of rows.

        Parameters
        ----------
        rows : Tensor, (batch, inputs)
            Flat rows.
        noise : Noise, optional
            With it codes are drawn from q(z|x), and in training mode the input is corrupted; without it the code that
            stands for each row is returned.

        Returns
        -------
        dict of str to Tensor
            Codes (batch, dim) by latent; the label's code is q(y|x).
        """
        return self.codes(self.features(rows, noise), noise)

    def codes(self, features: Tensor, noise: Noise | None = None) -> Codes:
        """Infer the codes of encoder features (batch, features); drawn with `noise`, as for `encode`."""
        return {name: self.latent(name).posterior(features, noise) for name in self.latents}

    def label_logits(self, rows: Tensor, noise: Noise | None = None) -> Tensor:
        """Compute the logits (batch, classes) of q(y|x); InputError without a latent ``label``."""
        if not self.classifies:
            raise InputError("the model has no latent named 'label', so it cannot infer labels")
        return self.label_head.label_logits(self.features(rows, noise))

    def representation(self, codes: Codes) -> Tensor:
        """Compute what the decoder sees of the codes: y W_C + z (section 7), or all of them side by side.

        Where q(y|x) is a sum over clusters, heads are those of the labels: until clusters are assigned to them it is z alone.
        """
        if self.cluster_heads is not None:
            heads: Tensor = self.cluster_heads(self.label_head.grouped(codes["label"]), codes["style"])
            return heads
        return torch.cat([codes[name] for name in self.latents], dim=1)

    def decoder_logits(
        self,
        codes: Codes,
        labels: Tensor | None = None,
        noise: Noise | None = None,
        covariates: Tensor | None = None,
    ) -> Tensor:
        """Decode without the output activation, and without the covariates; parameters and errors as for `decode`."""
        x = self.representation(codes)
        if self.covariates:
            if covariates is None:
                raise InputError("the decoder of this model sees covariates; expected some")
            x = torch.cat([covariates.to(x.dtype), x], dim=1)
        if self.decoder_classes is not None:
            if labels is None:
                raise InputError("the decoder of this model sees the true label; expected labels")
            x = torch.cat([F.one_hot(labels, self.decoder_classes).to(x.dtype), x], dim=1)
        rows: Tensor = self.decoder(x, noise) if self._decoder_takes_noise else self.decoder(x)
        return rows.float()

    def activate(self, logits: Tensor, log_totals: Tensor | None = None) -> Tensor:
        """Apply the output activation: the mean of p(x|z), for counts of a total (batch, 1)."""
        if self.likelihood is not None:
            return self.likelihood.mean(logits, log_totals)
        return torch.sigmoid(logits) if self.output == "sigmoid" else logits

    def decode(self, codes: Codes, labels: Tensor | None = None, covariates: Tensor | None = None) -> Tensor:
        """Decode codes to rows (batch, inputs).

        Parameters
        ----------
        codes : dict of str to Tensor
            Codes (batch, dim) of every latent.
        labels : Tensor of int64, (batch,), optional
            True labels, needed where the decoder sees them (section 4).
        covariates : Tensor, (batch, covariates), optional
            Needed where the decoder sees them; they are the last columns of what is returned.

        Returns
        -------
        Tensor, (batch, inputs)
            Mean of p(x|z).

        Raises
        ------
        InputError
            If the decoder sees labels or covariates, and there are none.
        """
        rows = self.activate(self.decoder_logits(codes, labels, None, covariates))
        return rows if covariates is None else torch.cat([rows, covariates], dim=1)

    def reconstruct(self, rows: Tensor, labels: Tensor | None = None) -> Tensor:
        """Encode and decode rows (batch, inputs), at their covariates and totals; `labels` as for `decode`."""
        inner, covariates = self.split(rows)
        logits = self.decoder_logits(self.encode(rows), labels, None, covariates)
        made = self.activate(logits, self.log_totals(inner))
        return made if covariates is None else torch.cat([made, covariates], dim=1)

    def log_totals(self, inner: Tensor) -> Tensor | None:
        """Compute the logarithms of the totals (batch, 1) of rows without covariates, where the likelihood depends on them."""
        return self.likelihood.totals(inner) if self.likelihood is not None and self.likelihood.sized else None

    def reconstruction_loss(
        self,
        codes: Codes,
        rows: Tensor,
        reduction: Reduction = "sum",
        labels: Tensor | None = None,
        noise: Noise | None = None,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Compute half the squared error of what is decoded, or -log p(x|z) where there is a likelihood of columns.

        Parameters
        ----------
        codes : dict of str to Tensor
            Codes (batch, dim) of every latent.
        rows : Tensor, (batch, inputs)
            Scaled rows.
        reduction : {"sum", "mean"}
            Over the columns; the mean over the batch is taken.
        labels, noise
            As for `decoder_logits`.
        observed : Tensor of bool, (batch, columns), optional
            Which values are known, where some are missing; those of covariates do not matter.

        Returns
        -------
        Tensor, ()
            The loss.
        """
        inner, covariates = self.split(rows)
        logits = self.decoder_logits(codes, labels, noise, covariates)
        if observed is not None and covariates is not None:
            observed = observed[:, : inner.shape[1] if self.likelihood is None else len(self.likelihood.kinds)]
        if self.likelihood is None:
            return half_squared_error(self.activate(logits), inner, reduction, observed)
        return self.likelihood.loss(logits, inner, reduction, observed, self.log_totals(inner))

    def residuals(self, codes: Codes, rows: Tensor, labels: Tensor | None = None) -> Tensor:
        """Compute what codes leave of scaled rows, (batch, inputs without covariates); see `ColumnLikelihood.residuals`.

        `labels` (batch,) are needed where the decoder sees them.
        """
        inner, covariates = self.split(rows)
        logits = self.decoder_logits(codes, labels, None, covariates)
        if self.likelihood is None:
            return inner - self.activate(logits)
        return self.likelihood.residuals(logits, inner, self.log_totals(inner))

    def log_joint(self, rows: Tensor, noise_variance: float | Tensor) -> Tensor:
        """Compute how normal rows are: log p(x, z) at the style code z of each, in nats; larger is more normal.

        It is log N(x; decoded code, noise_variance) + log p(z), or with a likelihood of columns log p(x|z) + log p(z). Where the
        density of the prior is not known everywhere the logit of the discriminator, which estimates log p(z) - log q(z), stands
        in for log p(z).

        Parameters
        ----------
        rows : Tensor, (batch, inputs)
            Flat, scaled rows.
        noise_variance : float or Tensor, () or (inputs,)
            Variance of a value around what is decoded, larger than 0.

        Returns
        -------
        Tensor, (batch,)
            Scores.
        """
        codes, style = self.encode(rows), self.latent("style")
        z = codes["style"]
        log_prior = style.prior.log_prob(z) if style.prior.density_everywhere else style.discriminate(z)
        inner, covariates = self.split(rows)
        if self.likelihood is not None:
            logits = self.decoder_logits(codes, None, None, covariates)
            return log_prior + self.likelihood.log_prob(logits, inner, self.log_totals(inner)).sum(1)
        variance = torch.as_tensor(noise_variance, dtype=rows.dtype, device=rows.device)
        squares = self.residuals(codes, rows).square() / variance + (2 * math.pi * variance).log()
        return log_prior - 0.5 * squares.sum(1)

    def sample_codes(self, n: int, labels: Tensor | None = None, noise: Noise | None = None) -> Codes:
        """Draw `n` codes from the priors; with `labels` (n,) from the regions of the priors that belong to them.

        Without `labels`, what is drawn for a latent that depends on labels belongs to what is drawn for the label.
        """
        codes: Codes = {}
        if labels is None and self.classifies and any(self.latent(name).label_informed for name in self.latents):
            labels = self.label_head.label_probabilities(self.latent("label").prior.sample(n, None, noise)).argmax(1)
        for name in self.latents:
            latent = self.latent(name)
            if name == "label" and labels is not None and self.label_head.num_labels < latent.prior.dim:
                codes[name] = self.label_head.label_codes(labels, noise)
                continue
            per_label = latent.label_informed or name == "label"
            codes[name] = latent.prior.sample(n, labels if per_label else None, noise)
        return codes

    def sample(
        self, n: int, labels: Tensor | None = None, noise: Noise | None = None, covariates: Tensor | None = None
    ) -> Tensor:
        """Draw `n` rows from the model p(x), decoding samples of the prior; of columns by kind drawn from p(x|z).

        Parameters
        ----------
        n : int
            Number of rows.
        labels : Tensor of int64, (n,), optional
            Label of each row, for models that know labels; without it labels are drawn too.
        noise : Noise, optional
            Source of randomness.
        covariates : Tensor, (n, covariates), optional
            As for `decode`.

        Returns
        -------
        Tensor, (n, inputs)
            Rows.

        Raises
        ------
        InputError
            If labels are given and no module of the model uses labels.
        """
        knows_labels = self.classifies or self.decoder_classes is not None
        knows_labels |= any(self.latent(name).label_informed for name in self.latents)
        if labels is not None and not knows_labels:
            raise InputError("the model knows no labels, so it cannot sample a given label")
        if labels is None and self.decoder_classes is not None:
            noise = noise or Noise(int(torch.randint(2**31, ()).item()))
            labels = noise.integers(self.decoder_classes, n)
        return self.draw(self.sample_codes(n, labels, noise), labels, noise, covariates)

    def draw(
        self,
        codes: Codes,
        labels: Tensor | None = None,
        noise: Noise | None = None,
        covariates: Tensor | None = None,
    ) -> Tensor:
        """Draw rows (batch, inputs) from p(x|z), and their totals too where they have some; without a likelihood as `decode`."""
        if self.likelihood is None:
            return self.decode(codes, labels, covariates)
        noise = noise or Noise(int(torch.randint(2**31, ()).item()))
        logits = self.decoder_logits(codes, labels, None, covariates)
        mean, std = self.likelihood.log_total
        log_totals = mean + std * noise.normal(len(logits), 1) if self.likelihood.sized else None
        rows = self.likelihood.draw(logits, log_totals, noise.seed())
        return rows if covariates is None else torch.cat([rows, covariates], dim=1)
