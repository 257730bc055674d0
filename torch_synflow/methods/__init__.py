"""The pruning methods: one file each."""

from torch_synflow.methods.grasp import GraSP, GraSPUnstructured, grasp_scores, grasp_unstructured
from torch_synflow.methods.snip import SNIP, SNIPUnstructured, snip_scores, snip_unstructured
from torch_synflow.methods.synflow import SynFlow, SynFlowUnstructured, synflow_scores, synflow_unstructured

__all__ = [
    "SNIP",
    "GraSP",
    "GraSPUnstructured",
    "SNIPUnstructured",
    "SynFlow",
    "SynFlowUnstructured",
    "grasp_scores",
    "grasp_unstructured",
    "snip_scores",
    "snip_unstructured",
    "synflow_scores",
    "synflow_unstructured",
]
