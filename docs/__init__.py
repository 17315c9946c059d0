"""What the README links to, and what makes `reference.md`."""
