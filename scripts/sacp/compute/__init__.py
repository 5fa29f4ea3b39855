"""What a job runs in: its frame, devices, processes and precision, and its saved state if it was killed.

It may import `artefacts`, `errors` and `seeds`; `job` needs no torch.
"""
