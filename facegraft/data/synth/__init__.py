"""Rendered people: who they are, what the picture shows, and its exact truth."""
