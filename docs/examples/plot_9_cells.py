"""
Cells by their counts
=====================

Counts of genes with half of the labels missing: clusters, a map with a legend and a classifier. The cells are simulated, of five
types in two batches.
"""

# %%
import numpy as np
from sklearn.metrics import adjusted_rand_score

import aae

random = np.random.default_rng(0)
kind, batch = random.integers(5, size=1000), random.integers(2, size=1000)
log_mean = random.normal(0, 1, 80) + random.normal(0, 0.5, (5, 80))[kind] + random.normal(0, 0.2, (2, 80))[batch]
counts = random.negative_binomial(3, 3 / (3 + np.exp(log_mean + random.normal(0, 0.4, (1000, 1)))))
names = np.array(["T", "B", "NK", "monocyte", "dendritic"], dtype=object)[kind]
some = np.where(random.uniform(size=1000) < 0.5, names, "unknown")
train, test = np.arange(1000) < 700, np.arange(1000) >= 700
short = {"columns": "count", "epochs": 30, "random_state": 0}

# %%
# Negative binomial counts; the decoder is told the batch, which the code then need not repeat.
clusters = aae.AAEClusterer(5, **short).fit(counts[train], covariates=batch[train].astype(str))
print(f"adjusted Rand index: {adjusted_rand_score(names[test], clusters.predict(counts[test])):.2f}")

# %%
classifier = aae.SemiSupervisedAAE(unlabelled="unknown", **short).fit(counts[train], some[train])
print(f"accuracy: {classifier.score(counts[test], names[test]):.1%}")

# %%
places = aae.AAEEmbedding(unlabelled="unknown", **short).fit(counts[train], some[train])
places.plot_map(counts[test], names[test])
