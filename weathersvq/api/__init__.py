"""The verbs as functions, and what data do by themselves: what `import weathersvq as ws` offers.

Each function does what the verb of its name does, with the same arguments and defaults, in memory
where the verb writes files. The command line shares what it can with them.
"""

# Whatever comes from here draws, scores and saves itself: the accessors are there with it.
import weathersvq.api.accessors  # noqa: F401
