"""A user's project made of a pattern: its app, models, tests, Makefile and Dockerfile."""
