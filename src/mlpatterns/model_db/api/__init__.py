"""The model DB over HTTP: the book's routes, and what completes them. `ModelDB` in app.py is the ASGI app."""
