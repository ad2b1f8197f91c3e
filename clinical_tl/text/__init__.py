"""From a note to model inputs: tokens, windows, tags, batches."""
