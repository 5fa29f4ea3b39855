"""From a config to a plan: checked before any job starts, then the experiments, paths and settings of every stage.

Rules call it, scripts never do. It may import the `catalogue`, and to check a config against the world `images`,
`network` and `pruning`; all but `preflight` works without torch.
"""
