"""Batcher: requests that arrive while the model is busy go to it together."""
