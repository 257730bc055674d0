"""The user's tensors, masks and state, before and after pruning."""
