"""Tests of the leaves, one file each."""
