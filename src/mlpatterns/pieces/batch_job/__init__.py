"""BatchJob: predicts the rows of a table in the background; and the operations on these rows."""
