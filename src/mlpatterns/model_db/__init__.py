"""The model DB: its tables, its HTTP service and the registration of models (extra `registry`).

A server never imports this package; `mlpatterns.registry` has what a server needs, and queries the database itself.
"""
