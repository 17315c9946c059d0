"""The sample of a model: given by a user, read from a file, and what the model answers to it."""
