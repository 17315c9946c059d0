"""The inputs of a model's golden set, by key: what a client names instead of sending."""
