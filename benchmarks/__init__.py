"""What the project claims of its speed, measured: one script a claim. `python -m benchmarks` runs them all."""
