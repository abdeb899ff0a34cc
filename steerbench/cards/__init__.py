"""The quality of each embedded model, as its card states it."""
