"""The model DB: tables, migrations and artifact folders; how a model is registered and how it is found again.

Only `locate` belongs to serving, and it imports no SQLAlchemy: it asks a child process.
"""
