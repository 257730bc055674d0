"""Diagnostics of models, pruned by anyone: what is kept, what of it is of use, what is conserved, what it costs."""

from torch_synflow.diagnostics.compression import (
    Compression,
    CriticalCompression,
    compression,
    critical_compression,
)
from torch_synflow.diagnostics.conservation import Conservation, Cut, HiddenNeurons, conservation
from torch_synflow.diagnostics.effective import (
    EffectiveLayer,
    EffectiveSparsity,
    ShuffledEffect,
    effective_masks,
    effective_sparsity,
    shuffled_effect,
)
from torch_synflow.diagnostics.neurons import LayerNeurons, NeuronCollapse, neuron_collapse
from torch_synflow.diagnostics.trainable import Trainability, trainability, warn_if_untrainable

__all__ = [
    "Compression",
    "Conservation",
    "CriticalCompression",
    "Cut",
    "EffectiveLayer",
    "EffectiveSparsity",
    "HiddenNeurons",
    "LayerNeurons",
    "NeuronCollapse",
    "ShuffledEffect",
    "Trainability",
    "compression",
    "conservation",
    "critical_compression",
    "effective_masks",
    "effective_sparsity",
    "neuron_collapse",
    "shuffled_effect",
    "trainability",
    "warn_if_untrainable",
]
