"""All names of :mod:`torch.nn.utils.prune`, and pruning at initialisation.

Replace ``import torch.nn.utils.prune as prune`` by ``from torch_synflow import prune``, and nothing else changes. Every
name of the installed torch module, including private ones, refers to the same object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.nn.utils.prune as _torch_prune

from torch_synflow._warnings import EmptiedLayersWarning
from torch_synflow.budget.densities import er, erk, layer_densities, proportional, uniform
from torch_synflow.budget.patterns import Pattern, n_of_m
from torch_synflow.compact.accepting import AcceptingHandle, accept_pruned
from torch_synflow.compact.checkpoints import load_pruned
from torch_synflow.compact.copying import detach
from torch_synflow.compact.folding import folded
from torch_synflow.compact.mask_files import SavedMasks, load_masks, save_masks
from torch_synflow.compact.masks import apply_masks, masks
from torch_synflow.compact.removal import remove_all
from torch_synflow.compact.report import ShrinkReport, ShrunkLayer
from torch_synflow.compact.shrink import shrink
from torch_synflow.loop import global_iterative_unstructured
from torch_synflow.methods.balanced import BalancedSynFlow, BalancedSynFlowUnstructured
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.damage import (
    OptimalBrainDamage,
    OptimalBrainDamageUnstructured,
)
from torch_synflow.methods.force import FORCE, FORCEUnstructured, GraSPIt, GraSPItUnstructured
from torch_synflow.methods.grasp import (
    GraSP,
    GraSPLowest,
    GraSPLowestUnstructured,
    GraSPMagnitude,
    GraSPMagnitudeUnstructured,
    GraSPUnstructured,
    grasp_scores,
    grasp_unstructured,
)
from torch_synflow.methods.snip import (
    SNIP,
    IterativeSNIP,
    IterativeSNIPUnstructured,
    SNIPUnstructured,
    snip_scores,
    snip_unstructured,
)
from torch_synflow.methods.synaptic import (
    SynapticSaliency,
    SynapticSaliencyUnstructured,
    TaylorFO,
    TaylorFOUnstructured,
)
from torch_synflow.methods.synflow import SynFlow, SynFlowUnstructured, synflow_scores, synflow_unstructured
from torch_synflow.model.parameters import ExampleInputs, Parameters, PrunableParameters, prunable_parameters
from torch_synflow.report import LayerReport, PruningReport
from torch_synflow.schedules import exponential, linear
from torch_synflow.scoring.class_balanced import class_balanced_batch
from torch_synflow.scoring.marked import Scores
from torch_synflow.scoring.task import Data, LossFunction, Outputs

if TYPE_CHECKING:
    from torch.nn.utils.prune import *  # noqa: F403

__all__ = [
    "FORCE",
    "SNIP",
    "AcceptingHandle",
    "BalancedSynFlow",
    "BalancedSynFlowUnstructured",
    "Data",
    "EmptiedLayersWarning",
    "ExampleInputs",
    "FORCEUnstructured",
    "GraSP",
    "GraSPIt",
    "GraSPItUnstructured",
    "GraSPLowest",
    "GraSPLowestUnstructured",
    "GraSPMagnitude",
    "GraSPMagnitudeUnstructured",
    "GraSPUnstructured",
    "IterativeSNIP",
    "IterativeSNIPUnstructured",
    "LayerReport",
    "LossFunction",
    "OptimalBrainDamage",
    "OptimalBrainDamageUnstructured",
    "Outputs",
    "Parameters",
    "Pattern",
    "PrunableParameters",
    "PruningReport",
    "SNIPUnstructured",
    "SaliencyUnstructured",
    "SavedMasks",
    "Scores",
    "ShrinkReport",
    "ShrunkLayer",
    "SynFlow",
    "SynFlowUnstructured",
    "SynapticSaliency",
    "SynapticSaliencyUnstructured",
    "TaylorFO",
    "TaylorFOUnstructured",
    "accept_pruned",
    "apply_masks",
    "class_balanced_batch",
    "detach",
    "er",
    "erk",
    "exponential",
    "folded",
    "global_iterative_unstructured",
    "grasp_scores",
    "grasp_unstructured",
    "layer_densities",
    "linear",
    "load_masks",
    "load_pruned",
    "masks",
    "n_of_m",
    "proportional",
    "prunable_parameters",
    "remove_all",
    "save_masks",
    "shrink",
    "snip_scores",
    "snip_unstructured",
    "synflow_scores",
    "synflow_unstructured",
    "uniform",
]
_HOME = _torch_prune.__name__
__all__ += [name for name in vars(_torch_prune) if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    try:
        return getattr(_torch_prune, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    """The public names, without private names and without the imports of torch's module."""
    imported = {
        name for name in vars(_torch_prune) if getattr(getattr(_torch_prune, name), "__module__", None) != _HOME
    }
    return sorted({*__all__} - imported)
