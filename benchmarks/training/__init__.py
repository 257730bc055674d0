"""Networks, data, recipes and the training loop of the sweeps."""
