"""What becomes of a pruned model: the same network without what carries nothing."""
