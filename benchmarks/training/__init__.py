"""What the sweeps train: networks, data, recipes, and the loop."""
