"""What a job runs in: its frame, devices, processes and precision, its state if it was killed, and states for the next.

It may import `artefacts`, `errors` and `seeds`; `job` needs no torch.
"""
