"""
Two processes with accelerate
=============================

Call ``prepare`` first, then prune. ``prepare`` starts the process group, so one call prunes on all ranks together, each
with its own batch. The parameters stay the same objects, so the prepared optimizer keeps training them. Run it with

.. code-block:: sh

   accelerate launch --multi_gpu --num_processes 2 examples/launch_accelerate.py

Without GPUs, the same command starts two processes on the CPU, because the script passes ``cpu=True`` to accelerate.
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune


def main() -> None:
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    digits = load_digits()
    data = TensorDataset(
        torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    )
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    model, optimizer, loader = accelerator.prepare(
        network, optimizer, DataLoader(data, batch_size=64, shuffle=True)
    )

    report = prune.global_iterative_unstructured(
        model, prune.SNIP, 0.9, data=[next(iter(loader))], loss_fn=F.cross_entropy
    )
    accelerator.print(report)

    for _ in range(5):
        for inputs, targets in loader:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(inputs), targets))
            optimizer.step()

    network, device = accelerator.unwrap_model(model), accelerator.device
    masks = (
        torch.cat([mask.flatten() for mask in prune.masks(network).values()])
        .nonzero()
        .sum()
    )
    weights = sum(
        float(weight.detach().double().sum()) for weight in network.parameters()
    )
    with torch.no_grad():
        right = (
            (
                network(data.tensors[0].to(device)).argmax(1)
                == data.tensors[1].to(device)
            )
            .float()
            .mean()
        )
    print(
        f"rank {accelerator.process_index}: masks {masks}, "
        f"weights {weights!r}, accuracy {right:.3f}",
        flush=True,
    )
    accelerator.end_training()


if __name__ == "__main__":
    main()
