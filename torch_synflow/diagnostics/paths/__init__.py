"""Which elements lie on a path from an input to an output."""
