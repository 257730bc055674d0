"""Measurements of conservation at the units and across the cuts of a network."""
