"""
A prior and a network of one's own, in a table
==============================================

Which prior is met more closely, and which keeps the digits apart? Five seeds of each, with an encoder of one's own, and a table.
"""

# %%
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import aae
from aae.evaluation import energy_distance, knn_accuracy_percent


def circle(n):
    """Points near a circle of radius 2."""
    angle = 2 * torch.pi * torch.rand(n, 1)
    return torch.cat([angle.cos(), angle.sin()], dim=1) * 2 + 0.1 * torch.randn(n, 2)


(train, test), (digits, truth) = (np.split(part, [1200]) for part in load_digits(return_X_y=True))
torch.manual_seed(0)
encoder = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 64), nn.SiLU())

# %%
print("\\begin{tabular}{lrr}\nprior & energy distance & $k$-NN accuracy (\\%) \\\\ \\hline")
for name, prior in {"Gaussian": "gaussian", "circle": circle}.items():
    found = []
    for seed in range(5):
        model = aae.AAE(2, prior=prior, encoder=encoder, epochs=15, batch_size=100, random_state=seed).fit(train)
        known, new = model.transform(train), model.transform(test)
        distance = energy_distance(new, model.model_.latent("style").prior.sample(1000))
        found.append([distance, knn_accuracy_percent(known, digits, new, truth)])
    (distance, accuracy), (a, b) = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    print(f"{name} & ${distance:.3f} \\pm {a:.3f}$ & ${accuracy:.1f} \\pm {b:.1f}$ \\\\")
print("\\end{tabular}")  # mean and standard deviation over five seeds
