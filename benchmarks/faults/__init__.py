"""Faults that are injected into models and sweeps, and checks that nothing is lost."""
