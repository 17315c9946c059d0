"""A model that changes to another version while it serves."""
