"""Images in, the pixels that a model takes out."""
