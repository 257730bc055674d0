"""The cost of the package in time and memory, compared with others and as networks grow; one command per file."""
