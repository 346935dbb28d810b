"""Everything measured in one run, against reality and against the machine's own roof: ``python -m benchmarks``.

Run it from the repository's root, on a machine that does nothing else, with the package and its extra ``dev``
installed. What it measures and what came out is in ``docs/benchmarks.md``, which it writes.
"""
