"""Exact top-k over many tensors."""
