"""Which networks are pruned, and are the pruned ones right? `make sweep-networks` runs it, over more than a hundred.

Rows go to docs/results/networks.csv as they come, and a row that is there is not measured again; docs/networks.md shows
them. `zoo` lists the networks, `ours` and `peer` measure one, `masks` and `counting` say independently of the library
what is right, `rows` runs a network in a process that may fail, `page` writes the tables.
"""
