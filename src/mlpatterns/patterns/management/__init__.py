"""Systems that are changed while they run."""
