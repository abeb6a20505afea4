"""The `facegraft` command: one file per verb."""
