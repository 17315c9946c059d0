"""Tests of the pieces, one file each."""
