"""A project of a user's own, made of a pattern: its app, its models, its tests, and what runs and ships it."""
