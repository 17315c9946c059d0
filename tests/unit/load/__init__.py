"""Tests of the load generator, one file each."""
