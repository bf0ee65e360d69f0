"""Training: settings, phases, the engine, checkpoints, the run directory and progress."""
