"""Tests of exports, one file each library."""
