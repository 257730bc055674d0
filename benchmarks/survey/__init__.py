"""What SynFlow, SNIP and GraSP make of the networks that people use."""
