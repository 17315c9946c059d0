"""Split: arms by weight, and who stays in which."""
