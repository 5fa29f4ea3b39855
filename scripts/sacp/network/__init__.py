"""A network and its graph: built, traced, counted, cut down to kept channels, read and written.

It may import `artefacts`, `compute` and what lies at the top; `graph` and `spec` need no torch.
"""
