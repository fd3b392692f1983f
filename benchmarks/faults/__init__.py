"""The fault campaign: `yld build` as a program, and what must never come of it.

    python -m benchmarks.faults --kills 50 --mutations 1000 --links 10000 --seed N [--json]

Each module is one kind of fault. `runs` starts the builds and looks after them, `tally` counts,
`connections` sees whom they talk to, `foreign` sows files that are nobody's business. All is on
127.0.0.1, and all inputs are made here. docs/reliability.md tells how the figures come about.
"""
