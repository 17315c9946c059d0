"""One ASGI app with three faces over the same predictor: the simple API, OIP, and operations."""
