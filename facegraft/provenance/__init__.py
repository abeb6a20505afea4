"""Says in every written file that it was made."""
