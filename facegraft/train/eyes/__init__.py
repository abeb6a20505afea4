"""Recipes of the face networks: a file that defines RECIPE is one, and its name is the network's."""
