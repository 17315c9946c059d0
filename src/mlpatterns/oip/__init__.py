"""The Open Inference Protocol as both sides speak it: bytes to tensors and back, and what may be in them."""
