"""Steering by what words and pictures mean: methods guided by an embedding such as CLIP's."""

from steerbench.embedding.styleclip import GlobalDirections, LatentMapper, LatentOptimiser

__all__ = ["GlobalDirections", "LatentMapper", "LatentOptimiser"]
