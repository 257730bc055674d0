"""Time and peak memory of a rank that prunes a transformer sharded by FSDP2, by the number of ranks.

``python -m benchmarks.speed.sharded`` starts the ranks itself, by torch's launcher, with gloo on the CPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F

from benchmarks.origin import RESULTS, save
from benchmarks.speed.memory import forget_peak, memory
from torch_synflow import prune

COMMAND = "python -m benchmarks.speed.sharded"
#: seconds that a run of ranks may take
DEADLINE = 1800


class Block(nn.Module):
    """A block of a transformer whose layers are all plain linear ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 64
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """One step of the residual stream."""
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        x = x + self.out(mixed)
        result: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return result


def sharded_transformer(width: int, depth: int) -> nn.Module:
    """A transformer that is sharded block by block as it is made, so that no rank ever holds all of it."""
    model = nn.Sequential()
    for _ in range(depth):
        block = Block(width)
        fully_shard(block)
        model.append(block)
    return model


def measured(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time, and memory of this rank before the call and at its peak."""
    torch.manual_seed(0)
    model = sharded_transformer(arguments.width, arguments.depth)
    x = torch.rand(2, arguments.length, arguments.width)
    given: dict[str, Any] = {
        "synflow": {"example_inputs": x, "iterations": arguments.iterations},
        "snip": {"data": (x, torch.rand_like(x)), "loss_fn": F.mse_loss},
        "magnitude": {},
    }[method]
    kind: Any = {"synflow": prune.SynFlow, "snip": prune.SNIP, "magnitude": prune.L1Unstructured}[method]
    dist.barrier()
    before, start = forget_peak(), time.perf_counter()
    report = prune.global_iterative_unstructured(model, kind, 0.9, model=model, **given)
    seconds, peak = time.perf_counter() - start, memory("VmHWM")
    return {
        "weights": report.total, "kept": report.kept, "seconds": seconds, "before": before, "peak": peak,
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def of_rank(arguments: argparse.Namespace) -> None:
    """Measure one method as one of the ranks, and write down what all found."""
    dist.init_process_group("gloo")
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, measured(arguments.as_rank, arguments))
    if dist.get_rank() == 0:
        Path(arguments.to).write_text(json.dumps(found))
    dist.destroy_process_group()


def run(method: str, ranks: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The measurements of a method on each of the given number of ranks."""
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "found.json"
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
            "-m", "benchmarks.speed.sharded", "--as-rank", method, "--to", str(to), *sizes(arguments),
        ]  # fmt: skip
        subprocess.run(command, check=True, timeout=DEADLINE)
        found: list[dict[str, Any]] = json.loads(to.read_text())
        return found


def sizes(arguments: argparse.Namespace) -> list[str]:
    """The arguments that say how large the model is."""
    names = ("width", "depth", "length", "iterations")
    return [text for name in names for text in (f"--{name}", str(getattr(arguments, name)))]


def main() -> None:
    """Measure all methods at all numbers of ranks, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("width", 1024), ("depth", 24), ("length", 8), ("iterations", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--methods", nargs="+", default=["magnitude", "snip", "synflow"])
    parser.add_argument("--to", default=str(RESULTS / "sharded.json"))
    parser.add_argument("--as-rank", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_rank:
        of_rank(arguments)
        return
    rows = []
    for method in arguments.methods:
        for ranks in arguments.ranks:
            found = run(method, ranks, arguments)
            rows.append({"method": method, "ranks": ranks, "of_ranks": found})
            peak, seconds = max(f["peak"] for f in found), max(f["seconds"] for f in found)
            print(f"{method:10} {ranks} ranks {seconds:8.1f} s {peak / 2**30:6.2f} GiB per rank", flush=True)
            shape = {name: getattr(arguments, name) for name in ("width", "depth", "length", "iterations")}
            save(Path(arguments.to), {"model": shape, "rows": rows}, COMMAND)


if __name__ == "__main__":
    main()
