"""
Did my network collapse, and what now?
======================================

Training stays at chance after pruning. This tutorial prunes a network too hard, finds out what is wrong with it, shows
why it happened, and compares the remedies. The diagnostics work on any model with torch's masks, whichever library
pruned it.

.. code-block:: sh

   pip install ".[draw]" scikit-learn
"""

import warnings

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from torch_synflow import diagnostics, prune

torch.set_num_threads(1)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1400], order[1400:]
x = images[:1]


def network():
    torch.manual_seed(0)
    layers, before = [], 1
    for width in (8, 16, 32, 64):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        before = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    )


def accuracy(model, epochs=6):
    """Test accuracy after training."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    for _ in range(epochs):
        for chosen in train[torch.randperm(len(train), generator=generator)].split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return (model(images[test]).argmax(1) == labels[test]).float().mean().item()


# %%
# The symptom
# -----------
#
# SNIP removes 99 % of the weights. Pruning already warns: ``EmptiedLayersWarning`` names the layers that lost all
# their weights.

batch = prune.class_balanced_batch(
    list(zip(images[train], labels[train])),
    10,
    generator=torch.Generator().manual_seed(0),
)
snip = {"data": batch, "loss_fn": F.cross_entropy}
model = network()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    report = prune.global_iterative_unstructured(
        model, prune.SNIP, amount=0.99, example_inputs=x, **snip
    )
print(*(str(warning.message) for warning in caught), sep="\n")
print(f"accuracy after training: {accuracy(model):.2f}; chance is 0.10")

# %%
# The diagnosis
# -------------
#
# ``trainability`` reports whether the input reaches the outputs, and otherwise where it stops.

print(diagnostics.trainability(model, x))

# %%
# ``effective_sparsity`` counts the kept weights that are on a path from input to output. After a collapse there are
# none, so no training could use them.

print(diagnostics.effective_sparsity(model, x))

# %%
# Why
# ---
#
# Methods that score once give each layer an average score that is inversely proportional to its size (:doc:`/theory`).
# The largest layer becomes empty first, while others keep weights. This is layer collapse. The picture shows the
# densities of the layers before training, with one line per compression ratio. A cross marks an empty layer.

methods = {
    "random": (prune.RandomUnstructured, {}),
    "magnitude": (prune.L1Unstructured, {}),
    "SNIP": (prune.SNIP, snip),
    "GraSP": (prune.GraSP, snip),
    "SynFlow": (prune.SynFlow, {}),
}
figure, panels = plt.subplots(
    1, 5, figsize=(12, 3.2), sharey=True, layout="constrained"
)
first_empty = {}
for axes, (name, (method, needs)) in zip(panels, methods.items()):
    for exponent in (1, 1.5, 2, 2.5, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", prune.EmptiedLayersWarning)
            found = prune.global_iterative_unstructured(
                network(), method, 1 - 10**-exponent, example_inputs=x, **needs
            )
        if found.empty_layers:
            first_empty.setdefault(name, exponent)
        colour = plt.cm.viridis(exponent / 3.5)
        kept = [layer.density or None for layer in found.layers]
        axes.plot(kept, "o-", color=colour, markersize=3, label=f"$10^{{{exponent}}}$")
        gone = [place for place, density in enumerate(kept) if density is None]
        axes.plot(gone, [1e-4] * len(gone), "x", color=colour)
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
print("first of these ratios with an empty layer, log10:", first_empty)

# %%
# What now?
# ---------
#
# Prune again, from the initial weights, in one of these ways:
#
# * a method that scores many times: ``SynFlow``, or ``BalancedSynFlow`` on a network with shortcuts; ``IterativeSNIP``
#   if you want to use your data,
# * the same method within given densities of the layers: ``layer_densities=prune.erk``,
# * a smaller amount.

remedies = {
    "SNIP, as above": (prune.SNIP, 0.99, snip),
    "SynFlow": (prune.SynFlow, 0.99, {}),
    "IterativeSNIP": (prune.IterativeSNIP, 0.99, {**snip, "iterations": 30}),
    "SNIP within ERK": (prune.SNIP, 0.99, {**snip, "layer_densities": prune.erk}),
    "SNIP, smaller amount": (prune.SNIP, 0.9, snip),
}
results = {}
for name, (method, amount, more) in remedies.items():
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", prune.EmptiedLayersWarning)
        prune.global_iterative_unstructured(
            model, method, amount, example_inputs=x, **more
        )
    found = diagnostics.trainability(model, x)
    results[name] = (found.can_train, accuracy(model))
    print(f"{name:<22}{found.verdict:<62}accuracy {results[name][1]:.2f}")

# %%
# How far can a method go? ``critical_compression`` searches for the highest compression ratio before a layer is empty.
# SynFlow's is max compression, the number of weights over the number of layers: no method can do better.

model = network()
limits = {}
for name in ("magnitude", "SynFlow"):

    def by_method(amount, method=methods[name][0]):
        return prune.global_iterative_unstructured(
            model, method, amount, example_inputs=x
        )

    limits[name] = diagnostics.critical_compression(model, by_method, tolerance=0.1)
    print(f"{name}: {limits[name].verdict}")

# %%
# In your own code, turn the warning into an error, and the call leaves the model unpruned. Or check before you train
# with ``diagnostics.warn_if_untrainable(model, x)``. Next: :doc:`/diagnostics` has the other checks.

assert report.empty_layers
assert results["SNIP, as above"] == (False, results["SNIP, as above"][1])
assert results["SNIP, as above"][1] < 0.2
assert results["SynFlow"][0]
assert results["SynFlow"][1] > results["SNIP, as above"][1] + 0.1
assert results["SNIP, smaller amount"][1] > 0.5
assert "SynFlow" not in first_empty
assert limits["magnitude"].ratio < limits["SynFlow"].ratio
