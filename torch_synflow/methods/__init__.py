"""The pruning methods: one file each."""

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

__all__ = [
    "FORCE",
    "SNIP",
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
    "SNIPUnstructured",
    "SynFlow",
    "SynFlowUnstructured",
    "SynapticSaliency",
    "SynapticSaliencyUnstructured",
    "TaylorFO",
    "TaylorFOUnstructured",
    "grasp_scores",
    "grasp_unstructured",
    "snip_scores",
    "snip_unstructured",
    "synflow_scores",
    "synflow_unstructured",
]


def __dir__() -> list[str]:
    return sorted(__all__)
