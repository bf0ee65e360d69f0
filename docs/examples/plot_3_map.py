"""
A map of the digits
===================

Two dimensions with `aae.AAEEmbedding`: the head of the cluster plus the style (section 7). New rows find their place on the map,
and every place on the map can be decoded.
"""

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import aae

rows, digits = load_digits(return_X_y=True)
rows = rows / 16
train, test, true, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)

# %%
# One row in five has a label. Without labels, `fit(train)` finds `n_clusters` clusters by itself.
labels = np.where(np.arange(len(train)) % 5 == 0, true, -1)
model = aae.AAEEmbedding(
    hidden_layer_sizes=(100, 100), discriminator_layer_sizes=(100, 100), epochs=120, random_state=0
)
model.fit(train, labels)
places = model.transform(test)

# %%
# Rows that were not seen in training. Crosses are the heads, the rows of W_C.
figure, axes = plt.subplots(figsize=(6, 5.4))
points = axes.scatter(*places.T, c=test_digits, cmap="tab10", s=9)
axes.scatter(*model.cluster_heads_.T, marker="x", color="black", s=60)
figure.colorbar(points, ax=axes, ticks=range(10), label="digit")
axes.set(xlabel="dimension 1", ylabel="dimension 2", aspect="equal")
plt.show()

# %%
# A walk over the map from one head to the next: what the decoder makes of the places between.
order = np.argsort(np.arctan2(*model.cluster_heads_.T))
stops = model.cluster_heads_[order]
walk = np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(stops[:5])])
figure, axes = plt.subplots(4, 8, figsize=(6, 3.2))
for cell, image in zip(axes.flat, model.inverse_transform(walk), strict=True):
    cell.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    cell.set_axis_off()
plt.show()
