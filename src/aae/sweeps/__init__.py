"""Many trainings: settings, seeds and recipes over processes and machines, searched or all of them."""

from aae.sweeps.execution import Execution
from aae.sweeps.queue import sweep
from aae.sweeps.report import SweepResult

__all__ = ["Execution", "SweepResult", "sweep"]
