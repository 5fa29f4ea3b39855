"""What is called from Python and from the command line: one function for each thing that users ask for.

It may import all other rooms; none of them imports it.
"""
