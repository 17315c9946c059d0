"""BatchJob: a table predicted beside the requests, and the routes of its rows."""
