"""What can be done with each noun of the model DB, in a session that the caller opened. One module a noun.

All raise NotFound for what is not there, and Conflict for what others are in the way of.
"""
