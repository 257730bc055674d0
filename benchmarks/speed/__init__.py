"""What the package costs in time and memory, beside others and as networks grow: a command each."""
