"""The ViCo metrics, what newer papers report beside them, and the leaderboard.

Numbers that share a name in the literature but not a meaning have names of their own here (`exp_l1` and
`exp_frechet` are both called ExpFD somewhere). A missing number is None, never another metric's value.
"""
