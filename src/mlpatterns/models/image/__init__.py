"""Decodes image files to the pixels that a model expects."""
