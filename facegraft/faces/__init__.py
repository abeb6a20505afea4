"""Face analysis. Start at `facegraft.faces.analyse`."""
