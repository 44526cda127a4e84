"""What raytracker costs, measured beside the plain ways of doing the same; see docs/benchmarks.md.

`harness` is what every bench is made of, `stage` what it runs on, `process` how a process is
weighed; each other module is a family of benches.
"""
