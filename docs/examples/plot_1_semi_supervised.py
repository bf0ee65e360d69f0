"""
Few labels, many rows
=====================

A classifier from five labels per class and about 1300 unlabelled rows, with `aae.SemiSupervisedAAE` (section 5).
"""

# %%
# Rows are flat and labels are whole numbers; -1 marks a row without a label, as in `sklearn.semi_supervised`.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import aae

rows, digits = load_digits(return_X_y=True)
rows = rows / 16
train, test, true, test_digits = train_test_split(rows, digits, test_size=450, stratify=digits, random_state=0)

draw = np.random.default_rng(0)
labels = np.full(len(train), -1)
for digit in range(10):
    five = draw.choice(np.flatnonzero(true == digit), 5, replace=False)
    labels[five] = digit

# %%
# Training: the label and the style each have a prior and a discriminator, and the labelled rows tie label k to class k. The
# style has only two dimensions: one that can hold everything about a row leaves nothing to the label.
model = aae.SemiSupervisedAAE(
    latent_dim=2, hidden_layer_sizes=(100, 100), discriminator_layer_sizes=(100, 100), epochs=40, random_state=0
)
model.fit(train, labels)

# %%
# A support vector machine sees the same 50 labels and none of the other rows.
known = labels >= 0
alone = SVC(C=10).fit(train[known], labels[known])
print(f"adversarial autoencoder, all rows:  {100 - 100 * model.score(test, test_digits):.1f} % test error")
print(f"support vector machine, 50 rows:    {100 - 100 * alone.score(test, test_digits):.1f} % test error")

# %%
# The two parts of the code can be used apart: `sample` draws random styles of one label, and `decode` gives another label to
# the style of a row. First column: the row; then its style with the labels 0 to 9 (figure 7 of the paper).
some = np.array([np.flatnonzero(test_digits == digit)[0] for digit in range(0, 10, 2)])
styles = model.transform(test[some])
figure, axes = plt.subplots(len(some), 11, figsize=(8, 3.7))
for line, style, row in zip(axes, styles, test[some], strict=True):
    decoded = model.decode(np.repeat(style[None], 10, axis=0), np.arange(10))
    for cell, image in zip(line, [row, *decoded], strict=True):
        cell.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        cell.set_axis_off()
axes[0, 0].set_title("row", fontsize=9)
for digit in range(10):
    axes[0, digit + 1].set_title(str(digit), fontsize=9)
plt.show()

# %%
# What to look at in `history_`: both discriminators stay near 50 % (they cannot tell codes from prior samples), and the share of
# the label entropy stays near 1 (all labels are in use). :doc:`/guide/collapsed` says what to do otherwise.
last = model.history_[-1]
for name in ("label_discriminator_accuracy", "style_discriminator_accuracy", "label_normalized_marginal_entropy"):
    print(f"{name:30s} {last[name]:.2f}")
