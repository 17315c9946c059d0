"""The model DB over HTTP: the routes of the book and further ones. `ModelDB` in app.py is the ASGI app."""
