"""What becomes of a pruned model: masks taken off and put back, saved and loaded, and networks made smaller."""
