"""Finders: directions without labels. One paper, one file; `steerbench.methods` lists them.

Every finder stores its hyperparameters unchanged, works in ``fit(generator)``, returns itself, and
leaves ``directions_``.
"""
