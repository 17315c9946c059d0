"""Shadow: what is asked of a candidate beside the callers, and how it compares."""
