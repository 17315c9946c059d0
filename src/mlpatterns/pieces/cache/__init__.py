"""The caches: of answers and of prepared inputs, and what both are made of."""
