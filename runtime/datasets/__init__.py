"""Data sets of mated impressions."""
