"""What the papers say of masks and scores, beside what comes out here."""
