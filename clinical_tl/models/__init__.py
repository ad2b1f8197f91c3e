"""Pretrained encoders, adapters and heads."""
