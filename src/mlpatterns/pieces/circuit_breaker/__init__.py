"""CircuitBreaker: the piece, its states and its windows."""
