"""The sample of a model: from a user or from a file, and the model's answers to it."""
