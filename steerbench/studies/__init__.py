"""How every committed table of the chapters was made."""
