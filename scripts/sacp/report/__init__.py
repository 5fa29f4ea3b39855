"""Tables, figures and the page of a run, made of the files that the other stages wrote.

It may import all rooms before it but `encoder`, `baselines` and `plan`; only `trivial` needs torch.
"""
