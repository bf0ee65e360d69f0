"""Speed against what this machine can do: one training step, and the Parzen window."""
