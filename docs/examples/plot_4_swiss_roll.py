"""
A swiss roll with labels
========================

Codes are matched to a prior that can only be sampled, a swiss roll, and label k gets the k-th tenth of it (section 2.3). The
model is put together from its parts and trained with `aae.fit`.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import aae
from aae.posteriors import Deterministic
from aae.priors import SwissRoll

rows, digits = load_digits(return_X_y=True)
rows = rows.astype(np.float32) / 16
train, test, true, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)
labels = np.where(np.arange(len(train)) % 2 == 0, true, -1)  # half of the rows have no label

# %%
# The discriminator sees the code and a one-hot label of eleven classes; the eleventh stands for "no label", where the whole roll
# is right.
torch.manual_seed(0)
prior = SwissRoll(num_labels=10)
discriminator = aae.MLP(2 + 11, [100, 100], 1)
style = aae.Latent(prior, Deterministic(100, 2), discriminator, label_informed=True)
model = aae.AdversarialAutoencoder(
    aae.MLP(64, [100, 100]), {"style": style}, aae.MLP(2, [100, 100], 64), output="sigmoid"
)
rates = {"optimizer": "adam", "learning_rate": {0: 0.002, 60: 0.0005}}
adversarial = {**rates, "betas": (0.5, 0.999)}
phases = {"reconstruction": rates, "discriminator": adversarial, "generator": adversarial}
history = aae.fit(model, train, labels, epochs=80, batch_size=50, **phases)

# %%
# The codes of rows that were not seen in training, and the prior.
with torch.no_grad():
    codes = model.encode(torch.from_numpy(test))["style"].numpy()
wanted = prior.sample(2000).numpy()
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained")
left.scatter(*wanted.T, s=3, color="0.7")
left.set(title="prior", xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
points = right.scatter(*codes.T, c=test_digits, cmap="tab10", vmin=-0.5, vmax=9.5, s=9)
right.set(title="codes of test rows", xlabel="$z_1$", aspect="equal")
figure.colorbar(points, ax=[left, right], ticks=range(10), label="digit")
plt.show()

# %%
# A walk along the roll (figure 4d): the digits in their order, and the styles of each between.
with torch.no_grad():
    walk = model.decode({"style": prior.spiral(torch.linspace(0.005, 0.995, 60))}).numpy()
figure, axes = plt.subplots(4, 15, figsize=(8, 2.4))
for cell, image in zip(axes.flat, walk, strict=True):
    cell.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    cell.set_axis_off()
plt.show()
