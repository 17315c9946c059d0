"""The migrations of the tables, which `mlpatterns.model_db.upgrade` runs."""
