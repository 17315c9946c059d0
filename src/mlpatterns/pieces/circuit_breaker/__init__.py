"""CircuitBreaker: its states and windows, and the piece."""
