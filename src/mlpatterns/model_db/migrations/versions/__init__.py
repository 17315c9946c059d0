"""The revisions, one module for each."""
