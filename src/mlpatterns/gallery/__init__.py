"""The pages of `mlpatterns up`: every system on one port, an index with their drawings and forms, and their docs."""
