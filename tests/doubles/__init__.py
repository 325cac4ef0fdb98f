"""Doubles of packages that need a GPU. For tests alone: nothing in fixtures/ imports them."""
