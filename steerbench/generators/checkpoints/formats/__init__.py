"""Published formats, one a file: how to recognise one, and how to build its network."""
