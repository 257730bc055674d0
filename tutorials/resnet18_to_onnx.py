"""
ResNet-18: from pruning to ONNX
===============================

This tutorial takes torchvision's ``resnet18`` from its initial weights to an ONNX file: prune it, remove the channels
that carry nothing, train what is left, save it, load it, export it, and compare the exported network with the original
in ONNX Runtime. It needs no GPU and no download.

.. code-block:: sh

   pip install ".[progress]" torchvision scikit-learn matplotlib onnx onnxscript onnxruntime
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torchvision.models import resnet18

from torch_synflow import diagnostics, prune

torch.manual_seed(0)

# %%
# The data
# --------
#
# scikit-learn's handwritten digits stand in for your images. They are enlarged to 32 x 32 pixels with three channels.

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
images = F.interpolate(images, size=32).expand(-1, 3, -1, -1)
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, test = order[:1400], order[1400:]

# %%
# Prune before training
# ---------------------
#
# ``amount=0.98`` removes 98 % of the weights. ResNet-18 has shortcuts, so the method is ``BalancedSynFlow``, which
# keeps every branch. It needs an example input; only its shape matters. The default is 100 iterations; 20 iterations
# keep this page quick.

model = resnet18(num_classes=10)
x = torch.rand(2, 3, 32, 32)
report = prune.global_iterative_unstructured(
    model, prune.BalancedSynFlow, amount=0.98, example_inputs=x, iterations=20
)
print(report)

# %%
# The first line is the verdict: how much is kept, and whether a layer is empty. ``draw`` plots the densities.

report.draw()
plt.show()

# %%
# Every output still has a path from the input, so the network can train.

print(diagnostics.trainability(model, x))

# %%
# Shrink
# ------
#
# Masks alone save no time: zeros are multiplied like other numbers. ``shrink`` builds the same network without the
# channels that carry nothing. It computes the same outputs and trains to the same result.

small = prune.shrink(model, x)
print(small.shrink_report.verdict)

# %%
# Train
# -----
#
# An ordinary loop. The small network still has masks for the zeros inside its layers, so pruned weights stay zero.

steps = train[:1280].split(32)
optimizer = torch.optim.SGD(small.parameters(), lr=0.05, momentum=0.9)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(steps))
small.train()
for step, batch in enumerate(steps):
    optimizer.zero_grad()
    loss = F.cross_entropy(small(images[batch]), labels[batch])
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 10 == 0:
        print(f"step {step:>2}: loss {loss.item():.3f}")

small.eval()
with torch.no_grad():
    right = (small(images[test]).argmax(1) == labels[test]).float().mean()
print(f"test accuracy after {step + 1} steps: {right:.3f}")

# %%
# Save and load
# -------------
#
# ``remove_all`` makes the zeros permanent and takes the masks off. The small network has shapes of its own, which
# ``resnet18()`` does not know, so save the whole module rather than its ``state_dict``.

folder = Path(tempfile.mkdtemp())
prune.remove_all(small)
torch.save(small, folder / "small.pt")

loaded = torch.load(folder / "small.pt", weights_only=False)
with torch.no_grad():
    print("same outputs:", torch.equal(loaded(x), small(x)))

# %%
# If you do not shrink, save ``model.state_dict()`` instead, and load it into a new ``resnet18`` with
# ``prune.load_pruned`` (:doc:`/saving`).
#
# Export to ONNX
# --------------

path = folder / "small.onnx"
torch.onnx.export(loaded, (x,), path, dynamo=True, external_data=False, verbose=False)

# %%
# ONNX Runtime gives the same outputs as torch, up to rounding.

import onnxruntime

session = onnxruntime.InferenceSession(path)
(outputs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
with torch.no_grad():
    difference = (torch.from_numpy(outputs) - loaded(x)).abs().max()
dense_bytes = sum(p.numel() * p.element_size() for p in resnet18().parameters())
print(f"greatest difference between torch and ONNX Runtime: {difference:.1e}")
print(f"weights of the dense network: {dense_bytes / 1e6:.1f} MB")
print(f"ONNX file: {path.stat().st_size / 1e6:.1f} MB")

# %%
# Next: :doc:`/smaller` explains which channels are removed, and :doc:`/choosing` compares the methods.

assert report.kept == report.total - round(0.98 * report.total)
assert not report.empty_layers
assert right > 0.5
assert torch.equal(loaded(x), small(x))
assert difference < 1e-3
assert path.stat().st_size < dense_bytes / 2
