"""JobQueue: accepted now, answered later."""
