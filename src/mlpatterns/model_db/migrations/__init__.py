"""The history of the tables, run by `mlpatterns.model_db.upgrade`."""
