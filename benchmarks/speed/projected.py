"""The cost of pruning models of 7 and 70 billion weights over many ranks: ``python -m benchmarks.speed.projected``.

Nothing of that size is run. Memory and time are those of ``benchmarks/results/sharded.json``, carried on to more
weights and ranks; traffic is how often an iteration gathers a weight, which two ranks count here on a small model.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import linear_regression
from typing import Any

import torch.distributed as dist
from torch import Tensor

from benchmarks.origin import RESULTS, save
from benchmarks.speed.sharded import measured
from torch_synflow.model.layout import Layout

COMMAND = "python -m benchmarks.speed.projected"
#: weights, and elements of the largest matrix, as Llama 2 has them in its configurations of these sizes
MODELS = {"7 B": (7_000_000_000, 4096 * 11008), "70 B": (70_000_000_000, 8192 * 28672)}
RANKS = (8, 64)
#: bytes per element of the largest matrix while its layer computes: the whole weight as it is gathered and as it is
#: scored, and the gradient of that
WHOLE = {"synflow": 4 + 8 + 8, "snip": 4 + 4, "magnitude": 0}
#: bytes of a weight as it is gathered, and bytes per second that a rank receives
GATHERED, LINK = 4, 12.5e9


def projection(found: dict[str, Any], gathers: dict[str, int]) -> list[dict[str, Any]]:
    """Memory, traffic and time of one iteration, or batch, on each model, for each method and number of ranks.

    A rank's peak is taken to be a constant and so many bytes for each weight that it holds, by least squares over the
    measured numbers of ranks. To the constant comes what the largest matrix is larger than the measured one. Every rank
    computes the whole pass, so the time on one rank grows with the weights and does not fall with ranks.

    Args:
        found: what ``benchmarks.speed.sharded`` has measured.
        gathers: how often an iteration of a method, of one batch, gathers each weight.
    """
    rows = []
    measured_matrix = 4 * found["model"]["width"] ** 2
    for method in dict.fromkeys(row["method"] for row in found["rows"]):
        runs = [row for row in found["rows"] if row["method"] == method]
        weights = runs[0]["of_ranks"][0]["weights"]
        parts = [weights / row["ranks"] for row in runs]
        slope, constant = linear_regression(parts, [max(rank["peak"] for rank in row["of_ranks"]) for row in runs])
        alone = next(row["of_ranks"][0]["seconds"] for row in runs if row["ranks"] == 1)
        if method == "synflow":
            alone /= found["model"]["iterations"]
        for model, (size, matrix) in MODELS.items():
            for ranks in RANKS:
                received = gathers[method] * GATHERED * size * (ranks - 1) / ranks
                rows.append(
                    {
                        "model": model, "method": method, "ranks": ranks, "bytes_a_weight": slope, "constant": constant,
                        "peak": constant + WHOLE[method] * max(matrix - measured_matrix, 0) + slope * size / ranks,
                        "received": received, "seconds_received": received / LINK,
                        "seconds_on_a_thread": alone * size / weights,
                    }
                )  # fmt: skip
    return rows


def of_rank(to: Path) -> None:
    """Count, as one of the ranks, how often each method gathers each weight of a small transformer."""
    dist.init_process_group("gloo")
    original, gathered = Layout.whole, 0

    def whole(self: Layout, part: Tensor) -> Tensor:
        nonlocal gathered
        made = original(self, part)
        gathered += made.numel() if made.dim() > 1 else 0
        return made

    Layout.whole = whole  # type: ignore[method-assign]
    found = {}
    shape = argparse.Namespace(width=64, depth=4, length=8, iterations=1)
    for method in WHOLE:
        gathered = 0
        weights = measured(method, shape)["weights"]
        batches = dist.get_world_size() if method == "snip" else 1  # every rank scores those of all
        found[method] = math.ceil(gathered / weights / batches)  # the first layer, which needs no second one, as others
    if dist.get_rank() == 0:
        to.write_text(json.dumps(found))
    dist.destroy_process_group()


def counted() -> dict[str, int]:
    """How often an iteration of each method, or SNIP's pass of a batch, gathers each weight."""
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "gathers.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [*launcher, "-m", "benchmarks.speed.projected", "--as-rank", "--to", str(to)]
        subprocess.run(command, check=True, timeout=600)
        found: dict[str, int] = json.loads(to.read_text())
        return found


def main() -> None:
    """Count, compute and write down; or be one of the ranks that count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=RESULTS / "projected.json")
    parser.add_argument("--as-rank", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_rank:
        of_rank(arguments.to)
        return
    found, gathers = json.loads((RESULTS / "sharded.json").read_text()), counted()
    rows = projection(found, gathers)
    save(arguments.to, {"of": found["git"], "link": LINK, "gathers": gathers, "rows": rows}, COMMAND)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
