"""Losses: pure functions, without weights."""
