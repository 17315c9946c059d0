"""A release: the server, an app and its models as one image."""
