"""Runs: train a recipe into a folder, use what came of it, evaluate it, plot it, share it, export it."""
