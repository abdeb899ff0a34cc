"""What others published: models by name, and directions in their own files."""

from steerbench.generators.published.catalogue import catalogue
from steerbench.generators.published.directions import read_published_direction

__all__ = ["catalogue", "read_published_direction"]
