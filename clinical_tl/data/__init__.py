"""Notes in and out: one reader and writer per format, splits, synthetic notes."""
