"""Finds and reads registered models. A server imports no other part of the registry.

Nothing here imports SQLAlchemy or FastAPI, not even lazily. `mlpatterns.model_db` defines the tables and writes them.
"""
