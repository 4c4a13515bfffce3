"""The supervisor of `membudget run --restart`: it stays, and starts the program anew when it dies.

It is a process of its own with one thread, and runs without site and without the command line's
imports: the one that parsed the options becomes it by exec. So this folder is loaded as the top
level package `restart`, and its modules name each other relatively.

It blocks every signal that it passes on and takes them, and the deaths of its children, one by one
from the kernel's queue. No handler runs in between, so none is lost between a look and a wait.
"""
