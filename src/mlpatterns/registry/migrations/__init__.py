"""The history of the tables, run by `mlpatterns.registry.upgrade`."""
