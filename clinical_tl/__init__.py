"""Transfer learning on clinical text."""
