"""From a frame to a swapped frame, picture, clip or camera. Start at `facegraft.runtime.swapper`."""
