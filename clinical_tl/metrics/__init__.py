"""Pure functions from gold and predictions to numbers."""
