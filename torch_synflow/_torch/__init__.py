"""What the package uses of torch that torch does not promise to keep: one module per unstable thing."""
