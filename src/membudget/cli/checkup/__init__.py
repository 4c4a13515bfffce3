"""What `membudget doctor` looks at: one file for each side of the surroundings.

A check is a function that takes the surroundings and yields findings. Whatever cannot be read is
a finding as well.
"""
