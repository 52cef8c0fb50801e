"""Tools that look after the code: run from a checkout, not in the wheel."""
