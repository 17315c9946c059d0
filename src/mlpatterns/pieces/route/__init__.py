"""Route: which part answers whom, by rules."""
