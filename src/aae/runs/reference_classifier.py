"""A classifier trained on real rows, independent of the run whose rows it classifies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from aae.baselines import SupervisedNetwork, supervised_phases
from aae.data import Split
from aae.networks import MLP, initialize
from aae.noise import INIT, Noise
from aae.posteriors import Softmax
from aae.runs.run import Run
from aae.training.data import TrainingData
from aae.training.settings import OptimizerSettings, TrainingSettings
from aae.training.trainer import Trainer

STEPS = 3000
FEATURES = 500
BATCH = 1000


class ReferenceClassifier:
    """A dropout network with one hidden layer, trained on the labelled training rows of a run's data.

    Parameters
    ----------
    run : Run
        Its scaling and shape of rows are used, not its model.
    train : Split
        Rows with at least one label.
    classes : int
        Number of classes.
    """

    def __init__(self, run: Run, train: Split, classes: int) -> None:
        assert train.labels is not None
        known = np.flatnonzero(train.labels >= 0)
        rows, labels = torch.from_numpy(train.rows[known]), torch.from_numpy(train.labels[known])
        self._scaling, self._device = run.scaling, run.device
        self._network = SupervisedNetwork(
            MLP(int(np.prod(run.shape)), [FEATURES], dropout=0.5), Softmax(FEATURES, classes)
        )
        initialize(self._network, Noise(0, INIT), "he")
        self._network.to(run.device)
        data = TrainingData(rows, run.scaling, labels, torch.arange(len(rows))).to(run.device)
        steps = max(1, len(rows) // 100)
        settings = TrainingSettings(epochs=max(1, STEPS // steps))
        adam = OptimizerSettings(optimizer="adam", learning_rate=0.001)
        phases = [phase.with_optimizer(adam) for phase in supervised_phases(self._network)]
        trainer = Trainer(self._network, phases, data, settings, run.device)
        while trainer.epoch < settings.epochs:
            trainer.run_epoch()
        self._network.eval()

    @torch.no_grad()
    def features(self, rows: NDArray[np.generic]) -> NDArray[np.float32]:
        """Compute the hidden layer (n, FEATURES) for rows (n, ...) as stored."""
        parts = [
            self._network.encoder(self._scaling(torch.from_numpy(np.array(rows[i : i + BATCH])).to(self._device)))
            for i in range(0, len(rows), BATCH)
        ]
        found: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return found

    @torch.no_grad()
    def predict(self, rows: NDArray[np.generic]) -> NDArray[np.int64]:
        """Name the class (n,) of rows (n, ...) as stored."""
        features = torch.from_numpy(self.features(rows)).to(self._device)
        predicted: NDArray[np.int64] = self._network.head.logits(features).argmax(1).cpu().numpy()
        return predicted
