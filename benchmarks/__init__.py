"""The papers' sweeps, run with the package."""
