"""Blocks that networks are built of."""
