"""The memory of this process, now and at its peak, as Linux counts it."""

from __future__ import annotations

import gc
from pathlib import Path


def memory(key: str) -> int:
    """Bytes of memory of this process, now (``VmRSS``) or at most since :func:`forget_peak` (``VmHWM``)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key)]
    return 1024 * int(line.split()[1])


def forget_peak() -> int:
    """Let the peak start from now; returns the memory now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")
