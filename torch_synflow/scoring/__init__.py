"""A model as a function of its weights, for authors of methods."""

from torch_synflow.scoring.marked import Scores
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.task import Task

__all__ = ["Network", "Scores", "Task"]


def __dir__() -> list[str]:
    return sorted(__all__)
