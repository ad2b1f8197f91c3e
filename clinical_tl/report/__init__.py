"""Results for people: highlighted text, plots, tables."""
