"""A pass that is recorded once and replayed on the remaining weights."""
