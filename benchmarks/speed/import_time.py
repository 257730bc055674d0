"""The time of importing the package beyond that of torch: ``python -m benchmarks.speed.import_time``."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

CODE = "import time, torch; t = time.perf_counter(); import torch_synflow; print(time.perf_counter() - t)"


def main(processes: int = 9) -> None:
    """Print the median and the least of several fresh processes."""
    commands = [[sys.executable, "-c", CODE]] * processes
    times = [1e3 * float(subprocess.run(c, capture_output=True, text=True, check=True).stdout) for c in commands]
    print(f"import torch_synflow after torch: median {median(times):.1f} ms, least {min(times):.1f} ms, of {processes}")


if __name__ == "__main__":
    main()
