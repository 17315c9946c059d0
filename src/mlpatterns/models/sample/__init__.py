"""The sample of a model: reads it from a user or from a file, and runs the model on it."""
