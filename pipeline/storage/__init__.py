"""Where files lie and whose they are: addresses, locks, leases, mirrors."""
