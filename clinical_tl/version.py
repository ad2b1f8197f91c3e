"""The package's version, for whatever is saved with it."""

__version__ = "0.1.0"
