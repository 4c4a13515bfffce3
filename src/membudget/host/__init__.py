"""What processes of one host share: a slot of figures each, and a socket that answers questions."""
