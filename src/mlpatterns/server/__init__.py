"""One ASGI app with three APIs for the same predictors: the simple API, OIP, and operations."""
