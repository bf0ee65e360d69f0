"""
Anomalies with a threshold
==========================

Malignant tumours found by a model of benign ones, with `aae.AAE`: 30 measurements each, no label used for training.
"""

# %%
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

import aae
from aae.figures import roc

rows, benign = load_breast_cancer(return_X_y=True)
train, test, known, truth = train_test_split(rows, benign, test_size=0.4, stratify=benign, random_state=0)
train, held = train_test_split(train[known == 1], test_size=0.3, random_state=0)
detector = aae.AAE(random_state=0).fit(train)

# %%
# `detector.predict` goes by scores of training rows. A model of so few rows fits them better than others, so the threshold comes
# from normal rows that it has not seen: 5 % of them lie below.
threshold = np.quantile(detector.score_samples(held), 0.05)
scores = detector.score_samples(test)
print(f"{np.sum(scores < threshold)} of {len(test)} rows score below {threshold:.2f}")
print(classification_report(truth == 0, scores < threshold, target_names=["benign", "malignant"]))

# %%
roc({"AAE": (truth == 0, -scores)}, title="malignant among benign")
