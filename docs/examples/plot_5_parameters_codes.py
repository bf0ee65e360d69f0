"""
Parameters: prior, posterior, dimensions
========================================

The images of :doc:`/guide/parameters` about the code.
"""

# %%
# One short run for each setting, on the same rows.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import aae
from aae.evaluation import knn_accuracy_percent
from aae.priors import Uniform

rows, digits = load_digits(return_X_y=True)
rows = rows / 16
train, test, true, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)


def fitted(**changes):
    settings = {"latent_dim": 2, "epochs": 100, "batch_size": 100, "learning_rate": 0.002, "random_state": 0}
    sizes = {"hidden_layer_sizes": (100, 100), "discriminator_layer_sizes": (100, 100)}
    noise = {"discriminator_noise": 0.3}  # or the discriminator wins some of so short runs
    return aae.AAE(**{**settings, **sizes, **noise, **changes}).fit(train)


def ring(n):
    """Sample a circle of radius 2 with some width."""
    angle = 2 * torch.pi * torch.rand(n)
    return (2 + 0.1 * torch.randn(n))[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


# %%
# Priors. The codes take the shape of whatever can be sampled.
priors = {"gaussian": "gaussian", "Uniform(2, -2, 2)": Uniform(2, -2, 2), "a function: ring": ring}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9))
models = {}
for cell, (name, prior) in zip(axes, priors.items(), strict=True):
    models[name] = fitted(prior=prior)
    cell.scatter(*models[name].transform(test).T, c=test_digits, cmap="tab10", s=5)
    cell.set_title(name, fontsize=9)
    cell.set_aspect("equal")
plt.tight_layout()
plt.show()

# %%
# Posteriors: the codes that stand for the rows, as `transform` gives them, without the noise of the posterior.
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9), sharex=True, sharey=True)
for cell, posterior in zip(axes, ("deterministic", "gaussian", "universal"), strict=True):
    model = models["gaussian"] if posterior == "deterministic" else fitted(posterior=posterior)
    cell.scatter(*model.transform(test).T, c=test_digits, cmap="tab10", s=5)
    cell.set_title(posterior, fontsize=9)
    cell.set_aspect("equal")
plt.tight_layout()
plt.show()

# %%
# Dimensions of the code: samples of the prior, the error of the reconstruction, and how well neighbouring codes agree.
figure, axes = plt.subplots(3, 10, figsize=(8, 2.9), gridspec_kw={"hspace": 0.5})
for line, dim in zip(axes, (2, 8, 32), strict=True):
    model = models["gaussian"] if dim == 2 else fitted(latent_dim=dim)
    for cell, image in zip(line, model.sample(10, random_state=0), strict=True):
        cell.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        cell.set_axis_off()
    codes = model.transform(train), model.transform(test)
    neighbours = knn_accuracy_percent(codes[0], true, codes[1], test_digits, k=10)
    error = np.mean((model.inverse_transform(codes[1]) - test) ** 2)
    line[0].set_title(
        f"{dim} dimensions: mean squared error {error:.3f}, digit of 10 nearest codes right in {neighbours:.0f} %",
        fontsize=9, loc="left",
    )  # fmt: skip
plt.show()
