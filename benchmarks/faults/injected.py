"""Failures injected into random calls on random models: ``python -m benchmarks.faults.injected --trials 9000``.

A failure is an exception of one of ten kinds at a random place: in forward passes, hooks, loss functions, data,
callbacks and rules, in functions and operations of torch, and at any moment at which Python looks for signals. After
it the model, what the call was given and the process must be as they were, and a second run must give what an
undisturbed one gives. ``--only SEED`` repeats one trial.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import torch

from benchmarks.faults.injection import inject
from benchmarks.faults.report import command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    torch.set_num_threads(1)
    for seed in range(5):  # what torch loads on the way is then there
        inject(seed)
    gc.collect()
    gc.freeze()  # and is not looked through again in each trial
    return command("injected", __doc__ or "", inject, arguments)


if __name__ == "__main__":
    sys.exit(main())
