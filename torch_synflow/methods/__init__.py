"""The pruning methods: one formula per file. ``torch_synflow.prune`` exports them."""
