"""Many trainings: settings, seeds and recipes over processes and machines, searched or all of them."""

from aae.sweep.execution import Execution
from aae.sweep.sweep import SweepResult, sweep

__all__ = ["Execution", "SweepResult", "sweep"]
