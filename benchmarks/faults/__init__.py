"""What is done to models and sweeps to see whether anything is lost."""
