"""Loads the target that a user names, and serves it with one or several processes."""
