"""Thresholds: compares the scores of parts with thresholds, whose values all workers share."""
