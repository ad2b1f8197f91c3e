"""One file per task: targets, loss, decoding, scores."""
