"""
SNIP with your own DataLoader
=============================

SNIP keeps the weights on which the loss depends most, so it reads your data and your loss. This tutorial passes a
``Dataset`` and a ``DataLoader`` of your own, with batches that are tuples and batches that are dictionaries, and then
trains the pruned network.

.. code-block:: sh

   pip install ".[draw]" scikit-learn
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

from torch_synflow import prune

torch.manual_seed(0)

# %%
# A data set, a loader and a network, as in any training script.


class Digits(Dataset):
    def __init__(self, start, stop):
        digits = load_digits()
        self.images = torch.tensor(digits.images, dtype=torch.float32)[start:stop]
        self.labels = torch.tensor(digits.target)[start:stop]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index][None] / 16, self.labels[index]


def network():
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)),
    )


train_set, test_set = Digits(0, 1400), Digits(1400, None)
loader = DataLoader(train_set, batch_size=64, shuffle=True)

# %%
# Ten examples of each class
# --------------------------
#
# The papers score with ten examples of each class. ``class_balanced_batch`` draws them from a data set.

model = network()
initial = {name: value.clone() for name, value in model.state_dict().items()}
batch = prune.class_balanced_batch(
    train_set, 10, generator=torch.Generator().manual_seed(0)
)
report = prune.global_iterative_unstructured(
    model, prune.SNIP, amount=0.9, data=batch, loss_fn=F.cross_entropy
)
print(report)
report.draw()
plt.show()

# %%
# The whole loader
# ----------------
#
# ``data`` is also any iterable of batches. The score is the gradient of the mean loss over all of them, and the size of
# the batches does not matter except to BatchNorm. Here both networks start with the same weights, and the code
# counts the weights that both keep.

other = network()
other.load_state_dict(initial)
prune.global_iterative_unstructured(
    other, prune.SNIP, amount=0.9, data=loader, loss_fn=F.cross_entropy
)
both, one = 0, 0
for name, mask in prune.masks(model).items():
    both += int((mask * prune.masks(other)[name]).sum())
    one += int(mask.sum())
print(f"{both} of {one} weights are kept by both")

# %%
# Batches that are dictionaries
# -----------------------------
#
# A batch that is a mapping is passed to the model as keyword arguments, with all its keys. If the model then returns a
# loss, as Hugging Face models do, no ``loss_fn`` is needed. Otherwise ``loss_fn(outputs, batch)`` computes it.


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, image, label=None):
        return self.net(image)


named = [{"image": images, "label": labels} for images, labels in loader]
again = prune.global_iterative_unstructured(
    Named(),
    prune.SNIP,
    amount=0.9,
    data=named,
    loss_fn=lambda outputs, batch: F.cross_entropy(outputs, batch["label"]),
)
print(again.verdict)

# %%
# Train
# -----

optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(5):
    for images, labels in loader:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    images, labels = next(iter(DataLoader(test_set, batch_size=len(test_set))))
    right = (model(images).argmax(1) == labels).float().mean()
print(f"test accuracy with {report.density:.0%} of the weights: {right:.3f}")

# %%
# Next: :doc:`/methods` says how to limit the memory of scoring (``batch_size``) and how to draw new examples in each
# iteration. :doc:`/parallel` has loaders of several processes.

assert report.kept == again.kept == report.total - round(0.9 * report.total)
assert one // 2 < both <= one
assert right > 0.8
