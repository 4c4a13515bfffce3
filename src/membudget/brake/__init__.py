"""The brake: a kernel limit kept just above what the process may have."""
