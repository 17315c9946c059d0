"""Operations: how a system is observed while it runs."""
