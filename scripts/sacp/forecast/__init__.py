"""What a run costs, before it and after: jobs and their order, what each takes here, and what was spent.

It may import all rooms; what needs torch is measured in child processes, as jobs would run.
"""
