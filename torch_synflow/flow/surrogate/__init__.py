"""Any model as positive weights and positively homogeneous operations."""
