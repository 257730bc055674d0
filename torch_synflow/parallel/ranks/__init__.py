"""The ranks of a process group in one call: which ranks take part, how they meet, and how they exchange tensors."""
