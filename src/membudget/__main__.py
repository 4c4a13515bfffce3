"""`python -m membudget`: the same as the command `membudget`."""

from membudget.cli import main

main()
