"""Management: changing what answers without an accident."""
