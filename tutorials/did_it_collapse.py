"""
See layer collapse
==================

Methods that score once give each layer an average score that is inversely proportional to its size. The largest layer
is then emptied first, while others still have weights: layer collapse. Here five methods prune a VGG-like network
harder and harder, without training.
"""

import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from torch_synflow import diagnostics, prune

torch.set_num_threads(1)


def network():
    torch.manual_seed(0)
    layers, before = [], 3
    for width in (8, 16, 32, 64):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        layers.append(nn.MaxPool2d(2))
        before = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before, 10, bias=False))


data = (torch.rand(50, 3, 16, 16), torch.arange(50) % 10)
methods = {
    "random": prune.RandomUnstructured,
    "magnitude": prune.L1Unstructured,
    "SNIP": prune.SNIP,
    "GraSP": prune.GraSP,
    "SynFlow": prune.SynFlow,
}


def pruned(method, amount):
    model = network()
    params = prune.prunable_parameters(model, example_inputs=data[0])
    needs = (
        {"data": data, "loss_fn": F.cross_entropy}
        if method in (prune.SNIP, prune.GraSP)
        else {}
    )
    return prune.global_iterative_unstructured(params, method, amount, **needs)


# %%
# Densities of the layers, one line a compression ratio. A layer with nothing kept is drawn as a cross at the bottom.

exponents = [1, 1.5, 2, 2.5, 3, 3.5]
figure, panels = plt.subplots(
    1, 5, figsize=(12, 3.2), sharey=True, layout="constrained"
)
first_empty = {}
for axes, (name, method) in zip(panels, methods.items()):
    for exponent in exponents:
        report = pruned(method, 1 - 10**-exponent)
        densities = [layer.density for layer in report.layers]
        if report.empty_layers:
            first_empty.setdefault(name, exponent)
        colour = plt.cm.viridis(exponent / 4)
        axes.plot(
            [d or math.nan for d in densities],
            "o-",
            color=colour,
            markersize=3,
            label=f"$10^{{{exponent}}}$",
        )
        axes.plot([1e-5 if d == 0 else math.nan for d in densities], "x", color=colour)
    axes.set(title=name, yscale="log", xlabel="layer")
panels[0].set_ylabel("density")
panels[-1].legend(
    title="compression",
    fontsize=7,
    frameon=False,
    loc="center left",
    bbox_to_anchor=(1, 0.5),
)
plt.show()
print("first compression of these with an empty layer, log10:", first_empty)

# %%
# The highest compression before a layer is empty, by bisection. SynFlow's is max compression, the number of weights
# over the number of layers: no method can do better.

model = network()
params = prune.prunable_parameters(model, example_inputs=data[0])


def by(method):
    return lambda amount: prune.global_iterative_unstructured(params, method, amount)


synflow = diagnostics.critical_compression(model, by(prune.SynFlow))
magnitude = diagnostics.critical_compression(model, by(prune.L1Unstructured))
print(synflow, magnitude, sep="\n")

assert "SynFlow" not in first_empty
assert set(first_empty) >= {"magnitude", "SNIP"}
assert magnitude.ratio < synflow.ratio
assert math.isclose(synflow.ratio, synflow.max_ratio)
