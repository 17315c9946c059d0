"""The caches of answers and of prepared inputs, and the code that both share."""
