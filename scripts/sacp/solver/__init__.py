"""The best of a space for a sum over groups and pairs of them, within limits on costs: exactly, or with a bound.

Enter by `exact`, which lists the m best, or by `bounded`, which never gives up; the others are their parts. It may
import `pruning`, `network` and what lies below them.
"""
