"""Ranks that differ, fail, are interrupted, or do not come."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.parallel.programs.ranks import error_of, is_untouched, join, masks_of, own_batches, save, small_net
from torch_synflow import prune
from torch_synflow.parallel.ranks import meeting

X = torch.rand(1, 8)


def tried(net: nn.Module, *arguments: Any, **named: Any) -> dict[str, Any]:
    """How a call ends, and whether the model is as before."""
    error = error_of(lambda: prune.global_iterative_unstructured(*arguments, **named))
    return {"error": error, "untouched": is_untouched(net)}


def differing(rank: int) -> dict[str, Any]:
    """Calls that are not the same on both ranks."""
    found = {}
    net = small_net()
    found["amount"] = tried(net, net, prune.L1Unstructured, 0.5 + 0.1 * rank)
    method = (prune.L1Unstructured, prune.RandomUnstructured)[rank]
    found["method"] = tried(net, net, method, 0.5)
    found["iterations"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=X, iterations=3 + rank)
    pairs = [(net[0], "weight"), (net[3], "weight"), (net[5], "weight")]
    found["parameters"] = tried(net, pairs[: 3 - rank], prune.SynFlow, 0.5, model=net, example_inputs=X)
    found["order"] = tried(net, pairs[:: 1 - 2 * rank], prune.SynFlow, 0.5, model=net, example_inputs=X)
    densities = [
        {"0.weight": 0.5, "3.weight": 0.5, "5.weight": 0.5},
        {"0.weight": 1.0, "3.weight": 1 / 6, "5.weight": 0.5},
    ]
    found["densities"] = tried(net, net, prune.L1Unstructured, 0.5, layer_densities=densities[rank])
    net = small_net(seed=rank)
    found["weights"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=X)
    net = small_net()
    net[5].bias.data[0] += rank
    found["bias"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=X)
    net = small_net()
    found["argument of one rank"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=X, iterations=-1 if rank else 1)
    found["everywhere wrong"] = tried(net, net, prune.SynFlow, 1.5, example_inputs=X)
    net = small_net()
    mask = torch.ones_like(net[0].weight)
    mask[rank] = 0
    prune.custom_from_mask(net[0], "weight", mask)
    found["masks"] = {"error": error_of(lambda: prune.global_iterative_unstructured(net, prune.L1Unstructured, 0.5))}
    return found


class Loader:
    """Data that fail on one rank, or that interrupt it."""

    def __init__(self, trouble: str, rank: int, troubled: int = 1) -> None:
        self.trouble = trouble
        self.mine = rank == troubled

    def __iter__(self) -> Any:
        """The batches of this rank, and then the trouble."""
        yield from own_batches()
        if self.mine and self.trouble == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if self.mine and self.trouble == "error":
            raise OSError("the disk is gone")
        if self.mine and self.trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def failing(rank: int) -> dict[str, Any]:
    """One rank fails in the middle: in its data, in a callback, as masks are attached, after they are."""
    found = {}
    for trouble in ("error", "interrupt"):
        net = small_net()
        data = Loader(trouble, rank)
        found[trouble] = tried(net, net, prune.SNIP, 0.5, data=data, loss_fn=F.cross_entropy)

    def stop(step: int, _: object) -> None:
        if rank == 1 and step == 2:
            raise KeyError("stop here")

    net = small_net()
    found["callback"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=X, iterations=3, callback=stop)
    net = small_net()
    if rank == 1:  # fails once the masks of the other layers are on
        net[5].register_buffer = stopped  # type: ignore[method-assign]
    found["attach"] = tried(net, net, prune.L1Unstructured, 0.5)
    net = small_net()
    bad = X if rank else torch.rand(1, 9)
    found["first rank"] = tried(net, net, prune.SynFlow, 0.5, example_inputs=bad)
    net = small_net()
    prune.global_iterative_unstructured(net, prune.SynFlow, 0.5, example_inputs=X, iterations=2)
    found["afterwards"] = masks_of(net)
    return found


def stopped(*_: Any, **__: Any) -> None:
    """A method of a module that fails."""
    raise RuntimeError("no buffers here")


def main() -> None:
    """All that ends well for the processes; then, as asked, a rank that does not come, or one that is killed."""
    last = sys.argv[2]
    rank = join(60 if last == "none" else 6)
    meeting.PATIENCE = 1.0
    result: dict[str, Any] = {}
    if last == "none":
        result = {"differing": differing(rank), "failing": failing(rank)}
        save(result)
        return
    net = small_net()
    if last == "absent":
        if rank == 1:
            time.sleep(9)
        result = tried(net, net, prune.SynFlow, 0.5, example_inputs=X)
    else:
        data = Loader("kill", rank, troubled=int(sys.argv[3]))
        result = tried(net, net, prune.SNIP, 0.5, data=data, loss_fn=F.cross_entropy)
    save(result)
    os._exit(0)  # the group is broken, and would wait for the rank that is gone


if __name__ == "__main__":
    main()
