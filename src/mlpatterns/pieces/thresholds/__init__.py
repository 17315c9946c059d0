"""Thresholds: from which probability a part says yes, and the parameters that all workers share."""
