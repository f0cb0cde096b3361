"""Parts of the benchmarks: corpus, processes, measures, report. Run `benchmarks/run.py`, not these."""
