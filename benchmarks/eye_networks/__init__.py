"""What benchmarks/eyes.py measures, a module per network."""
