"""BatchJob: predicts the rows of a table in the background, and offers operations on these rows."""
