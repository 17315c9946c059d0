"""Management: how models in production are tested, compared and protected."""
