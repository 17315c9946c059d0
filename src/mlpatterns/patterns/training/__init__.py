"""Trainings: from data to a registered model."""
