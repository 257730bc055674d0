"""A pass that is recorded once and replayed on what is left of the weights."""
