"""Operations: what is known of a system while it runs."""
