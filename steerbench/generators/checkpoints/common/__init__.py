"""What several published formats have in common, and no format of its own."""
