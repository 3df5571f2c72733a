"""Machines in Ray actors: the backend, what runs in an actor, and how the two find each other and talk."""
