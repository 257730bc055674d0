"""The papers' sweeps: ``python -m benchmarks list | run FIGURE | plot FIGURE``."""

import sys

from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
