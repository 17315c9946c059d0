"""The pages of `mlpatterns up`: an index of all systems with their diagrams and forms, and a list of their API docs."""
