"""Route: rules that choose which part answers a request."""
