"""Reading and changing each resource of the model DB, in a session that the caller opened. One module a resource.

All raise NotFound for what is not there, and Conflict for what others are in the way of.
"""
