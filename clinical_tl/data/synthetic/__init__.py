"""Synthetic clinical notes with gold for every task: a generator, and its words as TOML files."""

from clinical_tl.data.synthetic.generator import LENGTHS, MIN_RANGE, generate_notes, iter_notes

__all__ = ["LENGTHS", "MIN_RANGE", "generate_notes", "iter_notes"]
