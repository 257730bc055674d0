"""
Two processes with torchrun
===========================

Each rank reads its own part of the data. If a process group is initialised, one call prunes on all ranks together.
SNIP's gradient is the mean over the data of all ranks, and all ranks get the same masks. Run it with

.. code-block:: sh

   torchrun --nproc-per-node 2 examples/launch_torchrun.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from torch_synflow import prune


def main() -> None:
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    rank = dist.get_rank()
    device = (
        torch.device("cuda", rank % torch.cuda.device_count())
        if cuda
        else torch.device("cpu")
    )
    digits = load_digits()
    data = TensorDataset(
        torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    )
    loader = DataLoader(data, batch_size=64, sampler=DistributedSampler(data))

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    model = DistributedDataParallel(network.to(device))
    report = prune.global_iterative_unstructured(
        model, prune.SNIP, 0.9, data=[next(iter(loader))], loss_fn=F.cross_entropy
    )
    if rank == 0:
        print(report)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(5):
        loader.sampler.set_epoch(epoch)
        for inputs, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs.to(device)), targets.to(device)).backward()
            optimizer.step()

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
        f"rank {rank}: masks {masks}, weights {weights!r}, accuracy {right:.3f}",
        flush=True,
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
