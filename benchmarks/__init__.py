"""Measures the project's claims about its speed, with one script per claim. `python -m benchmarks` runs all of them."""
