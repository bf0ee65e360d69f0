"""
Parameters: labels and rates
============================

The images of :doc:`/guide/parameters` about labels and training.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import aae

rows, digits = load_digits(return_X_y=True)
rows = rows / 16
train, test, true, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)
sizes = {
    "hidden_layer_sizes": (100, 100),
    "discriminator_layer_sizes": (100, 100),
    "batch_size": 100,
    "random_state": 0,
}

# %%
# Number of labels. The same unlabelled rows every time, and one draw of labels: on other draws the points move, most of all on
# the left.
order = np.random.default_rng(0).permutation(len(train))
counts, errors, alone = (2, 5, 20, 100), [], []
for count in counts:
    known = np.concatenate([order[true[order] == digit][:count] for digit in range(10)])
    labels = np.full(len(train), -1)
    labels[known] = true[known]
    model = aae.SemiSupervisedAAE(epochs=40, **sizes).fit(train, labels)
    errors.append(100 - 100 * model.score(test, test_digits))
    alone.append(100 - 100 * SVC(C=10).fit(train[known], true[known]).score(test, test_digits))
figure, axes = plt.subplots(figsize=(5, 3.2))
axes.plot(counts, errors, "o-", label="with the unlabelled rows")
axes.plot(counts, alone, "s--", color="0.5", label="support vector machine, labels alone")
axes.set(xscale="log", xlabel="labels per class", ylabel="test error, %", ylim=(0, None))
axes.set_xticks(counts, [str(count) for count in counts])
axes.legend(frameon=False)
plt.tight_layout()
plt.show()

# %%
# Rate of the discriminator, with everything else as it is. Above the line it has won, and the codes no longer learn from it.
figure, axes = plt.subplots(figsize=(5, 3.2))
for rate in (0.0001, 0.001, 0.01):
    model = aae.AAE(8, epochs=25, optimizers={"discriminator": {"learning_rate": rate}}, **sizes).fit(train)
    accuracy = [epoch["style_discriminator_accuracy"] for epoch in model.history_]
    axes.plot(range(1, 26), accuracy, label=f"rate {rate:g}")
axes.axhline(0.97, color="0.5", linewidth=0.8)
axes.set(xlabel="epoch", ylabel="style_discriminator_accuracy", ylim=(0.4, 1.02))
axes.legend(frameon=False)
plt.tight_layout()
plt.show()
