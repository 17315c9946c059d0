"""Serving: from a model to answers."""
