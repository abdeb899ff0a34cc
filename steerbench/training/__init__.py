"""How every embedded model was made: ``python -m steerbench.training WHAT``.

Pictures are rendered into a cache once (`pictures`); a generator, an oracle or a table of measured
quality is one module each; `__main__` gives each a command. Runs go under ``runs/``, which git does
not follow, and what is shipped is exported from there into ``assets/`` with a card.
"""
