"""How good a swap is: measures of single pictures and clips, and studies with people."""
