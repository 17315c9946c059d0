"""Laws that every piece and every store keeps, written once and run on all of them."""
