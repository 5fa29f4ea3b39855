"""What exists by name: kinds of methods, criteria, scores, data sources, figures and tables, each with its source.

Read while jobs are planned: no torch, and no job's script imports it, so that a new entry reruns nothing that
does not use it. It may import `errors` and `imports` alone.
"""
