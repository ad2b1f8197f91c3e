"""Estimators on features of notes, mostly embeddings: arrays in, plain records out."""
