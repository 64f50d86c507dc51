"""From archives to windows: everything before the tensors. Nothing here imports torch.

In the order in which data flow:

- sources: any archive, opened lazily (files, remote, patience; axes, canonical, join: one form),
  checks on its values, derive (variables from others);
- regrid: to another grid;
- prepare: a store of small maps, block by block (plan, blocks, workers, store, summary);
- channels, normalize, climatology (pieces): what is known of the training period;
- windows: which times belong together.
"""
