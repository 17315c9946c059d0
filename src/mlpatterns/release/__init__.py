"""Builds a release: one image with the server, an app and its models."""
