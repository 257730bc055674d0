"""
Does it matter which weights? Shuffling on digits
=================================================

Frankle et al. 2021 (section 5) shuffle the masks within each layer. If accuracy stays the same, only the number of
weights in each layer matters, not the choice of weights. This example repeats the test with SNIP on scikit-learn's
handwritten digits, with a small network and a few epochs. The result does not carry over to other networks.
"""

import copy
from statistics import mean

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from torch_synflow import ablations, prune

torch.set_num_threads(1)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).flatten(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1400], order[1400:]


def trained(model, seed, epochs=12):
    """Test accuracy in % after training."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for _ in range(epochs):
        for chosen in train[torch.randperm(len(train), generator=generator)].split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    with torch.no_grad():
        return 100 * float(
            (model(images[test]).argmax(1) == labels[test]).float().mean()
        )


# %%
# SNIP prunes to four densities. The same masks are then shuffled within their layers, or put on new weights.

densities = [0.3, 0.1, 0.05, 0.02]
batch = (images[train[:100]], labels[train[:100]])
accuracy = {"SNIP": [], "shuffled": [], "new weights": [], "random": []}
for density in densities:
    found = {name: [] for name in accuracy}
    for seed in range(3):
        torch.manual_seed(seed)
        dense = nn.Sequential(
            nn.Linear(64, 200),
            nn.ReLU(),
            nn.Linear(200, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )
        model, uniform = copy.deepcopy(dense), copy.deepcopy(dense)
        report = prune.global_iterative_unstructured(
            model, prune.SNIP, 1 - density, data=batch, loss_fn=F.cross_entropy
        )
        prune.global_iterative_unstructured(
            uniform, prune.RandomUnstructured, 1 - density
        )
        shuffled, renewed = copy.deepcopy(model), copy.deepcopy(model)
        ablations.shuffle_masks(shuffled, generator=torch.Generator().manual_seed(seed))
        ablations.reinitialise(renewed, generator=torch.Generator().manual_seed(seed))
        assert (
            prune.layer_densities(shuffled) == report.densities
        )  # the same proportions, other weights
        for name, network in zip(accuracy, (model, shuffled, renewed, uniform)):
            found[name].append(trained(network, seed))
    for name, values in found.items():
        accuracy[name].append(mean(values))

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, values), style in zip(accuracy.items(), ("o-", "s--", "^:", "x-.")):
    axes.plot(densities, values, style, label=name)
axes.set(
    xscale="log",
    xlabel="density: kept / total",
    ylabel="test accuracy (%)",
    title="Digits, mean of three seeds",
)
axes.invert_xaxis()
axes.set_xticks(densities, [str(density) for density in densities])
axes.minorticks_off()
axes.legend(frameon=False)
plt.show()
for name, values in accuracy.items():
    print(f"{name:<12}", *(f"{value:6.1f}" for value in values))

# %%
# At a density of 0.3, the choice of weights does not matter here, as in the paper. At the lowest density, shuffling
# does harm, as appendix K.2 of the paper reports for a fully connected network on MNIST. Some pixels are always black,
# so the choice of inputs matters. New weights change little, and random pruning of the whole network is worst.

assert accuracy["SNIP"][0] - accuracy["shuffled"][0] < 3
assert accuracy["SNIP"][0] - accuracy["new weights"][0] < 3
assert accuracy["SNIP"][-1] > accuracy["random"][-1]
