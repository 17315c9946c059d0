"""A release: the server, what it serves and its models as one image."""
