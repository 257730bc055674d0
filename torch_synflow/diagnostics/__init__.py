"""Diagnostics of pruned models: kept and effective weights, conservation laws, trainability and cost."""

from torch_synflow.diagnostics.compression import Compression, compression
from torch_synflow.diagnostics.cost import Cost, LayerCost, cost, passes
from torch_synflow.diagnostics.critical import CriticalCompression, critical_compression
from torch_synflow.diagnostics.layer_scores import LayerScore, LayerScores, layer_scores
from torch_synflow.diagnostics.neurons import LayerNeurons, NeuronCollapse, neuron_collapse
from torch_synflow.diagnostics.paths.effective import (
    EffectiveLayer,
    EffectiveSparsity,
    effective_masks,
    effective_sparsity,
)
from torch_synflow.diagnostics.paths.path_norm import PathNorm, path_norm
from torch_synflow.diagnostics.paths.shuffled import ShuffledEffect, shuffled_effect
from torch_synflow.diagnostics.paths.trainable import Trainability, trainability, warn_if_untrainable
from torch_synflow.diagnostics.theorems.conservation import Conservation, conservation
from torch_synflow.diagnostics.theorems.cuts import Cut
from torch_synflow.diagnostics.theorems.hidden_neurons import HiddenNeurons

__all__ = [
    "Compression", "Conservation", "Cost", "CriticalCompression", "Cut", "EffectiveLayer", "EffectiveSparsity",
    "HiddenNeurons", "LayerCost", "LayerNeurons", "LayerScore", "LayerScores", "NeuronCollapse", "PathNorm",
    "ShuffledEffect", "Trainability", "compression", "conservation", "cost", "critical_compression",
    "effective_masks", "effective_sparsity", "layer_scores", "neuron_collapse", "passes", "path_norm",
    "shuffled_effect", "trainability", "warn_if_untrainable",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
