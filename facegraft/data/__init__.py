"""Datasets: who is in them, where pictures come from, who meets whom."""
