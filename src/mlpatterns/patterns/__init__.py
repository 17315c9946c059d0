"""The gallery: one runnable system a file, by group. `mlpatterns list` shows them all."""
