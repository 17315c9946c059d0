"""Python functions as a predictor: on the event loop, in threads, in child processes."""
