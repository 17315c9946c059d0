"""Reads and changes each resource of the model DB, in a session that the caller opened. Each resource has a module.

All functions raise NotFound for a row that does not exist, and Conflict for a change that another row prevents.
"""
