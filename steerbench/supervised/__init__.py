"""Methods that learn from labels or from a predictor: what units do, and boundaries of attributes.

Every method stores its hyperparameters unchanged, works in ``fit(generator)``, returns itself, and
leaves its results under names with a trailing underscore. `steerbench.methods` lists them; a paper
that fills more than one file is a package: `steerbench.supervised.dissection`,
`steerbench.supervised.boundaries`.
"""
