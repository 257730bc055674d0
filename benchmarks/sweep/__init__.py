"""Trials, their results on disk, and what runs them."""
