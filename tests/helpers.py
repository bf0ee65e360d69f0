"""What test files share."""

from pathlib import Path

from aae.training.run_directory import RunDirectory

NETWORKS = ("encoder", "decoder", "discriminator")


def small_networks(units=8):
    """Overrides of a recipe that leave every network one hidden layer of a few units."""
    return [f"model.{network}.hidden=[{units}]" for network in NETWORKS]


def metrics_of(run):
    """The metrics of every epoch of a run folder, without what a clock says."""
    folder = run if isinstance(run, RunDirectory) else RunDirectory(Path(run))
    return [{name: value for name, value in record.items() if name != "seconds"} for record in folder.read_metrics()]


def outcome(run):
    """What must be the same however a run was trained: weights, bit for bit, and metrics."""
    folder = run if isinstance(run, RunDirectory) else RunDirectory(Path(run))
    return folder.weights.read_bytes(), metrics_of(folder)
