"""The paper, run again: experiments as data, a runner that survives, reports beside the paper.

- tables: what the runs of a table are (configs/tables/*.yaml);
- runner: each run once, in a process of its own, on the cores of this machine or a Dask cluster;
- run: one run, trained and scored;
- report: ours beside the paper's (paper.csv).
"""
