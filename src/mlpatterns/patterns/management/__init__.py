"""Management: how models in service are tried, compared and protected."""
