"""PythonModel: Python functions as a predictor, on the event loop, in threads or in child processes."""
