"""The Open Inference Protocol over REST, a model behind either face of it, and what Triton's clients ask beside."""
