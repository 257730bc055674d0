"""SynFlow, SNIP and GraSP on common networks."""
