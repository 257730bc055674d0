"""The papers' statements about masks and scores, compared with our results."""
