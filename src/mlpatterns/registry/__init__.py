"""How a registered model is found and read: all that a server may import of the registry.

Neither SQLAlchemy nor FastAPI comes in here, not even lazily. `mlpatterns.model_db` is the other half: the tables, and
what writes them.
"""
