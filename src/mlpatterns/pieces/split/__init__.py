"""Split: divides callers among arms by weight, and keeps each caller in one arm."""
