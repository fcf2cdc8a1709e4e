"""Learning curves that others made: read, checked, kept as records, and read for their crossings."""
