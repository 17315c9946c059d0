"""Shadow: sends the same requests to a candidate, and compares its answers."""
