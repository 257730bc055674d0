"""Tools for pruned models: removing, restoring, saving and loading masks, and making networks smaller."""
