"""Experiment: which arm is better, by users and their outcomes."""
