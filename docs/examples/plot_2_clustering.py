"""
Clusters without labels
=======================

Sixteen clusters of handwritten digits with `aae.AAEClusterer`; labels only judge the result (section 6).
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import train_test_split

import aae

rows, digits = load_digits(return_X_y=True)
rows = rows / 16
train, test, _, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)

# %%
# More clusters than groups do better: the style of a digit, such as a 7 with a bar, may get a cluster of its own.
model = aae.AAEClusterer(
    n_clusters=16, hidden_layer_sizes=(100, 100), discriminator_layer_sizes=(100, 100), epochs=40, random_state=0
)
model.fit(train)
clusters = model.predict(test)
print(f"normalized mutual information with the digits: {normalized_mutual_info_score(test_digits, clusters):.2f}")
print(f"clusters in use: {len(np.unique(clusters))} of 16")

# %%
# Each line is one cluster, as in figure 9 of the paper: its head (the one-hot label decoded with style 0), then rows that were
# put into it.
figure, axes = plt.subplots(16, 12, figsize=(5.4, 7.2))
for cluster, line in enumerate(axes):
    members = test[clusters == cluster][:11]
    for cell in line:
        cell.set_axis_off()
    for cell, image in zip(line, [model.cluster_heads_[cluster], *members], strict=False):
        cell.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
axes[0, 0].set_title("head", fontsize=8)
plt.show()

# %%
# Another `random_state` gives other clusters, and the result varies: fit a few and compare `history_`, where
# `label_normalized_marginal_entropy` tells whether all clusters are in use, and look at the heads.
