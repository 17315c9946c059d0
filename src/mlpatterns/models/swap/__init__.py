"""HotSwap: a predictor that switches to another version of its model while it serves."""
