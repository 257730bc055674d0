"""The user's tensors, masks and state, before pruning and after."""
