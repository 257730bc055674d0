"""
A timm model
============

Prune a classifier of the ``timm`` library. EdgeNeXt mixes depthwise convolutions, attention, LayerNorm and GELU.
SynFlow is defined for networks of ReLUs; while it scores, homogeneous surrogates replace these operations
(:doc:`/flow`), so the model needs no preparation. Nothing is downloaded.

.. code-block:: sh

   pip install ".[hub,draw]"
"""

import warnings

import matplotlib.pyplot as plt
import timm
import torch

from torch_synflow import diagnostics, prune

torch.manual_seed(0)
model = timm.create_model("edgenext_xx_small", pretrained=False, num_classes=10)
x = torch.rand(2, 3, 64, 64)

# %%
# Choose what is pruned
# ---------------------
#
# ``prunable_parameters`` lists the weights of convolutions and linear layers. Patterns of names or types leave layers
# out: here the stem and the classifier.

params = prune.prunable_parameters(model, exclude=["stem.*", "head.fc"])
print(f"{len(params)} layers, the first one is {params[0][0]}")

# %%
# Prune
# -----
#
# Compare two methods on the same weights. EdgeNeXt has a shortcut around every block. SynFlow empties layers that a
# shortcut bypasses, and a warning names them. ``BalancedSynFlow`` gives every branch its share and keeps them.

import copy

plain, balanced = copy.deepcopy(model), copy.deepcopy(model)
reports = {}
for name, network, method in (
    ("SynFlow", plain, prune.SynFlow),
    ("BalancedSynFlow", balanced, prune.BalancedSynFlow),
):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reports[name] = prune.global_iterative_unstructured(
            prune.prunable_parameters(network, exclude=["stem.*", "head.fc"]),
            method,
            amount=0.9,
            example_inputs=x,
            iterations=20,
        )
    print(f"{name}: {reports[name].verdict}")
    for warning in caught:
        if issubclass(warning.category, prune.EmptiedLayersWarning):
            print("  warning:", str(warning.message)[:70], "...")

# %%
# The plot shows the densities of the layers, from input to output.

figure, axes = plt.subplots(2, figsize=(9, 7), sharex=True, layout="constrained")
for ax, (name, report) in zip(axes, reports.items()):
    report.draw(ax)
    ax.set_title(f"{name}: {report.verdict}", fontsize="small")
plt.show()

# %%
# Check, and count what is left
# -----------------------------
#
# ``cost`` counts the operations that kept weights need. It is a bound: zeros save no time by themselves.

print(diagnostics.trainability(balanced, x))
print(diagnostics.cost(balanced, x).verdict)

# %%
# Train it as before. Gradients of pruned weights are zero.

optimizer = torch.optim.AdamW(balanced.parameters(), lr=1e-3)
images, labels = torch.rand(16, 3, 64, 64), torch.arange(16) % 10
losses = []
for _ in range(10):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(balanced(images), labels)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"loss of a batch of random images: {losses[0]:.2f}, then {losses[-1]:.2f}")

# %%
# Next: :doc:`/networks` has a table of the timm families that were tried, and the limits.

assert reports["SynFlow"].empty_layers
assert not reports["BalancedSynFlow"].empty_layers
assert reports["BalancedSynFlow"].kept == reports["SynFlow"].kept
assert diagnostics.trainability(balanced, x).can_train
assert losses[-1] < losses[0]
