"""Data sets: read from their sources, split, decoded and put into batches on a device.

It may import `artefacts`, `compute` and what lies at the top. A source is a module with `read`, `check` and `count`.
"""
