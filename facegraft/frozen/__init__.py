"""Architectures of the face networks, one file each."""
