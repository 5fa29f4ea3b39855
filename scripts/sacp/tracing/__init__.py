"""From a network to its graph: what its forward does to channels, operation by operation.

`trace` is what other rooms call. `symbolic` makes a list of operations of a forward, `running` notes their shapes;
`values` holds what is known on the way, `layers`, `joins` and `shapes` read one operation each, `operations` chooses
among them, and `groups` makes the graph of what was read.
"""
