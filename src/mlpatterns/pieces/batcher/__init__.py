"""Batcher: what arrives while the model is busy is asked together."""
