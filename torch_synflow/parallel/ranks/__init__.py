"""The ranks of a process group in one call: which they are, how they meet, and what they send each other."""
