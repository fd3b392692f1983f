"""What every page shares: one look, tables that sort and filter, histograms; no network asked."""
