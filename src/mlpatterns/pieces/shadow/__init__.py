"""Shadow: a candidate gets the same requests, and its answers are compared."""
