"""The model DB over HTTP: the routes of the book, and more routes. `ModelDB` in app.py is the ASGI app."""
