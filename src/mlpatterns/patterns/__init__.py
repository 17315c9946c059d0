"""The patterns: one runnable system in each file, a folder for each group. `mlpatterns list` shows them all."""
