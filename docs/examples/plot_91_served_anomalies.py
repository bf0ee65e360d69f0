"""
Anomalies, served without torch
===============================

A threshold from the fraction of anomalies that is expected, a report, and the detector as one ONNX file for `onnxruntime`, with
scaling, neighbours and threshold in it.
"""

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split

import aae

# %%
# Cardiotocograms that are pathologic among normal ones (`cardio` of ODDS); tumours where that table is not there.
table = Path(os.environ.get("AAE_DATA", ""), "anomalies", "cardio.npz")
rows, odd = np.load(table).values() if table.is_file() else load_breast_cancer(return_X_y=True)
odd = odd == 1 if table.is_file() else odd == 0
train, test, unused, truth = train_test_split(rows, odd, test_size=0.5, stratify=odd, random_state=0)
normal = train[~unused][:800]
detector = aae.AAE(contamination=0.05, epochs=40, random_state=0).fit(normal)

# %%
# 5 % of normal rows are to be flagged. The threshold comes from rows that a model did not see, so that it holds for new ones.
found = detector.predict(test) == -1
print(f"{found[~truth].mean():.1%} of {np.sum(~truth)} normal rows are flagged, threshold {detector.offset_:.2f}")
print(classification_report(truth, found, target_names=["normal", "anomaly"]))

# %%
detector.plot_roc(test, truth.astype(int), scores=-detector.score_samples(test))

# %%
# In production: numbers in, decision out, by `onnxruntime` alone.
file = detector.export(Path(tempfile.mkdtemp()) / "served")[-1]
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
score, decision = session.run(None, {"rows": test.astype(np.float64)})
print(f"{file.name}: {np.sum(decision < 0)} of {len(test)} rows are anomalies, as in Python: {np.sum(found)}")
