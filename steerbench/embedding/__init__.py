"""Steering by what words and pictures mean: methods guided by an embedding such as CLIP's.

`steerbench.methods` lists them; `steerbench.embedding.styleclip` is the manual of StyleCLIP's.
"""
