"""Encoders for the tests, of which one takes its process down."""

import os

from torch import nn


def gentle(inputs):
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU())


class Deadly(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.layer = nn.Linear(inputs, 8)

    def forward(self, rows):
        if len(rows) > 2:  # two are tried when the network is made
            os._exit(9)
        return self.layer(rows)


def deadly(inputs):
    return Deadly(inputs)
