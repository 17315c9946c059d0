"""Experiment: finds the better arm from the outcomes of users."""
