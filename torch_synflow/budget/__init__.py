"""How many elements to keep, and where."""
