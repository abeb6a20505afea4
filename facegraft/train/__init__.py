"""Training: a config and a recipe become a run."""
