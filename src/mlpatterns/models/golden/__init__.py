"""The inputs of a model's golden set, by key: a client sends a key instead of the data."""
