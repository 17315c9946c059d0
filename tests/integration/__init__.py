"""Tests that start real processes or need real services."""
