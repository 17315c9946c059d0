"""Makes a user's project from a pattern: its app, models, tests, Makefile and Dockerfile."""
