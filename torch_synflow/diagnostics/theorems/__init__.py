"""What is conserved over units and cuts of a network, measured."""
