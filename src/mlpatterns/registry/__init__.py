"""Finding and reading registered models: the only part of the registry that a server imports.

Nothing here imports SQLAlchemy or FastAPI, not even lazily. `mlpatterns.model_db` has the tables and writes them.
"""
