"""From what a user names to processes that serve it: the target, one process, several, the page of them all."""
