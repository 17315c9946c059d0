"""The model DB: its tables, and what registers a model (extra `registry`).

Nothing that serves imports this room; `mlpatterns.registry` has what a server needs, and asks the database itself.
"""
