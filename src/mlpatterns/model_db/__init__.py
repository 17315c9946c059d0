"""The model DB: its tables, what registers a model, and the child process that looks one up (extra `registry`).

Nothing that serves imports this room; `mlpatterns.registry` has what a server needs, and asks the rest of a child.
"""
