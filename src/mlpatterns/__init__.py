"""mlpatterns: production machine-learning systems made of one set of small pieces."""
