"""
Two explorers
=============

Move the pointer over a plane of codes, and the decoder draws what is there. A click holds the point, another lets it go. Each
explorer is one HTML file that works without a network; in a notebook it shows itself, and `save` writes it.
"""

# %%
import numpy as np
from sklearn.datasets import load_digits, load_wine

import aae

# %%
# Digits whose codes have two dimensions and no label: neighbours are alike, and classes lie side by side.
rows, digits = load_digits(return_X_y=True)
rows = rows / 16
model = aae.AAE(latent_dim=2, hidden_layer_sizes=(100, 100), epochs=60, random_state=0).fit(rows)
model.explore(rows, digits, image_shape=(8, 8))

# %%
# A table, with labels for a third of its rows: the bars are what the decoder makes of the style at the pointer and the label of
# the slider; ticks are the nearest row.
wine = load_wine(as_frame=True)
names = wine.target_names[wine.target]
labels = np.where(np.arange(len(names)) % 3 == 0, names, "")
classifier = aae.SemiSupervisedAAE(latent_dim=3, hidden_layer_sizes=(50, 50), random_state=0).fit(wine.data, labels)
classifier.explore(wine.data, names)

# %%
# Where each wine lies when each class has a place on a circle, and which classes are taken for which.
classifier.plot_map(wine.data, names)

# %%
classifier.plot_confusion(wine.data, names)
