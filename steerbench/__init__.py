"""steerbench."""
