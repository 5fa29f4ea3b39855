"""What carries a job: its frame, its devices and processes, its precision, and its state where it was killed.

It may import `artefacts`, `errors` and `seeds`; `job` needs no torch.
"""
