"""What can let memory go: collection, trimming, a program's own callbacks, and at last the exit."""
