"""Scripts that print figures; pytest does not collect them."""
