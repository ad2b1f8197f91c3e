"""One script per thing a researcher does."""
